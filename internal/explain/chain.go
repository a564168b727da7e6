package explain

import (
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// connection is what Envoy knows of one before it chooses a filter chain.
type connection struct {
	port        uint32
	destination netip.Addr
	source      netip.Addr
	sni         string
	transport   string
	protocols   []string
}

// String says it in words.
func (c connection) String() string {
	out := "plain text"
	if c.transport == "tls" {
		out = "TLS"
		if c.sni != "" {
			out += " for " + c.sni
		}
	}
	if len(c.protocols) > 0 {
		out += " (" + strings.Join(c.protocols, ", ") + ")"
	}
	return out
}

// inspect is what the listener's filters find out.
func (w *walk) inspect(l *listenerv3.Listener) connection {
	c := connection{port: w.Port, destination: w.Destination, source: w.Source, transport: "raw_buffer"}
	for _, f := range l.ListenerFilters {
		switch {
		case strings.HasSuffix(f.Name, "tls_inspector") && w.Scheme == "https":
			c.transport, c.protocols = "tls", []string{"h2", "http/1.1"}
			if _, err := netip.ParseAddr(w.Host); err != nil {
				c.sni = w.Host
			}
		case strings.HasSuffix(f.Name, "http_inspector") && w.Scheme == "http":
			c.protocols = []string{"http/1.1"}
		}
	}
	return c
}

// chooseChain narrows the chains by one criterion after the other, in Envoy's
// order (envoy.config.listener.v3.FilterChainMatch): of those that are left
// the most specific stay, and there is no way back.
func chooseChain(chains []*listenerv3.FilterChain, c connection) *listenerv3.FilterChain {
	left := slices.Clone(chains)
	for _, rate := range []func(*listenerv3.FilterChainMatch) int{
		func(m *listenerv3.FilterChainMatch) int {
			if m.GetDestinationPort() == nil {
				return 0
			}
			return yes(m.DestinationPort.Value == c.port)
		},
		func(m *listenerv3.FilterChainMatch) int { return ratePrefixes(m.GetPrefixRanges(), c.destination) },
		func(m *listenerv3.FilterChainMatch) int { return rateNames(m.GetServerNames(), c.sni) },
		func(m *listenerv3.FilterChainMatch) int {
			if m.GetTransportProtocol() == "" {
				return 0
			}
			return yes(m.TransportProtocol == c.transport)
		},
		func(m *listenerv3.FilterChainMatch) int {
			if len(m.GetApplicationProtocols()) == 0 {
				return 0
			}
			return yes(slices.ContainsFunc(c.protocols, func(p string) bool { return slices.Contains(m.ApplicationProtocols, p) }))
		},
		func(m *listenerv3.FilterChainMatch) int { return ratePrefixes(m.GetSourcePrefixRanges(), c.source) },
	} {
		best := 0
		for _, chain := range left {
			best = max(best, rate(chain.FilterChainMatch))
		}
		left = slices.DeleteFunc(left, func(chain *listenerv3.FilterChain) bool { return rate(chain.FilterChainMatch) != best })
	}
	if len(left) == 0 {
		return nil
	}
	return left[0]
}

// yes rates a criterion that is met (1) or not (-1); 0 is one that is not given.
func yes(met bool) int {
	if met {
		return 1
	}
	return -1
}

func ratePrefixes(list []*corev3.CidrRange, a netip.Addr) int {
	if len(list) == 0 {
		return 0
	}
	best := -1
	for _, r := range list {
		p, err := netip.ParseAddr(r.AddressPrefix)
		if err == nil && a.IsValid() && netip.PrefixFrom(p, int(r.PrefixLen.GetValue())).Contains(a) {
			best = max(best, 1+int(r.PrefixLen.GetValue()))
		}
	}
	return best
}

func rateNames(list []string, sni string) int {
	if len(list) == 0 {
		return 0
	}
	best := -1
	for _, n := range list {
		suffix, wild := strings.CutPrefix(n, "*")
		switch {
		case !wild && strings.EqualFold(n, sni) && sni != "":
			best = max(best, 1<<16)
		case wild && len(sni) > len(suffix) && strings.HasSuffix(strings.ToLower(sni), strings.ToLower(suffix)):
			best = max(best, 1+len(suffix))
		}
	}
	return best
}
