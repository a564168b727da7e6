package explain

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Address is an address as "10.0.0.1:80"; of others than sockets, their path or
// name.
func Address(a *corev3.Address) string {
	switch {
	case a.GetSocketAddress() != nil:
		s := a.GetSocketAddress()
		return net.JoinHostPort(s.Address, strconv.FormatUint(uint64(s.GetPortValue()), 10))
	case a.GetPipe() != nil:
		return a.GetPipe().Path
	case a.GetEnvoyInternalAddress() != nil:
		return a.GetEnvoyInternalAddress().GetServerListenerName()
	}
	return "-"
}

// Locality is "region/zone/subzone" as far as it is known.
func Locality(l *corev3.Locality) string {
	return strings.TrimRight(l.GetRegion()+"/"+l.GetZone()+"/"+l.GetSubZone(), "/")
}

// Rule is the Istio object and rule that a route or cluster was made of, from
// its metadata: "virtual-service default/reviews, rule 1"; empty when it was
// made of none.
func Rule(m *corev3.Metadata) string {
	istio := m.GetFilterMetadata()["istio"].GetFields()
	config := istio["config"].GetStringValue()
	p := strings.Split(strings.Trim(config, "/"), "/") // apis/GROUP/VERSION/namespaces/NS/KIND/NAME
	if len(p) != 7 {
		return config
	}
	out := p[5] + " " + p[4] + "/" + p[6]
	if name := istio["rule"].GetStringValue(); name != "" {
		out += ", " + name
	}
	return out
}

// ChainMatch says what connections a filter chain is for; empty for all.
func ChainMatch(m *listenerv3.FilterChainMatch) string {
	var parts []string
	add := func(what, value string) {
		if value != "" {
			parts = append(parts, what+" "+value)
		}
	}
	if m.GetDestinationPort() != nil {
		add("port", strconv.FormatUint(uint64(m.DestinationPort.Value), 10))
	}
	add("to", prefixes(m.GetPrefixRanges()))
	add("from", prefixes(m.GetSourcePrefixRanges()))
	add("SNI", strings.Join(m.GetServerNames(), ", "))
	switch m.GetTransportProtocol() {
	case "tls":
		parts = append(parts, "TLS")
	case "raw_buffer":
		parts = append(parts, "no TLS")
	}
	add("protocol", strings.Join(m.GetApplicationProtocols(), ", "))
	return strings.Join(parts, "; ")
}

func prefixes(list []*corev3.CidrRange) string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s/%d", r.AddressPrefix, r.PrefixLen.GetValue()))
	}
	return strings.Join(out, ", ")
}

// LeadsTo is where a chain leads: its route configuration, or its clusters.
func LeadsTo(c *listenerv3.FilterChain) string {
	if h := httpOf(c); h != nil {
		return "routes " + cmp.Or(h.GetRds().GetRouteConfigName(), "of its own")
	}
	t := tcpOf(c)
	if w := t.GetWeightedClusters(); w != nil {
		var parts []string
		for _, x := range w.Clusters {
			parts = append(parts, fmt.Sprintf("%d %s", x.Weight, x.Name))
		}
		return strings.Join(parts, ", ")
	}
	return cmp.Or(t.GetCluster(), "-")
}

// httpOf is the HTTP connection manager of a chain; nil: it has none.
func httpOf(c *listenerv3.FilterChain) *hcmv3.HttpConnectionManager {
	for _, f := range c.GetFilters() {
		h := &hcmv3.HttpConnectionManager{}
		if f.GetTypedConfig().MessageIs(h) && f.GetTypedConfig().UnmarshalTo(h) == nil {
			return h
		}
	}
	return nil
}

// tcpOf is the TCP proxy of a chain; nil: it has none.
func tcpOf(c *listenerv3.FilterChain) *tcpv3.TcpProxy {
	for _, f := range c.GetFilters() {
		t := &tcpv3.TcpProxy{}
		if f.GetTypedConfig().MessageIs(t) && f.GetTypedConfig().UnmarshalTo(t) == nil {
			return t
		}
	}
	return nil
}

// RouteMatch says what requests a route is for.
func RouteMatch(m *routev3.RouteMatch) string {
	parts := []string{pathWords(m)}
	for _, h := range m.GetHeaders() {
		words := h.Name + " " + headerWords(h)
		if h.InvertMatch {
			words = "not " + words
		}
		parts = append(parts, words)
	}
	for _, q := range m.GetQueryParameters() {
		words := "?" + q.Name + " is there"
		if s := q.GetStringMatch(); s != nil {
			words = "?" + q.Name + " " + stringWords(s)
		}
		parts = append(parts, words)
	}
	if len(m.GetDynamicMetadata()) > 0 {
		parts = append(parts, "claims of the token")
	}
	if f := m.GetRuntimeFraction().GetDefaultValue(); f != nil {
		parts = append(parts, fmt.Sprintf("%d of %s", f.Numerator, strings.ToLower(f.Denominator.String())))
	}
	return strings.Join(parts, "; ")
}

func pathWords(m *routev3.RouteMatch) string {
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		return p.Path
	case *routev3.RouteMatch_Prefix:
		return p.Prefix + "*"
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return p.PathSeparatedPrefix + "[/*]"
	case *routev3.RouteMatch_SafeRegex:
		return "~" + p.SafeRegex.Regex
	case *routev3.RouteMatch_ConnectMatcher_:
		return "CONNECT"
	}
	return "any path"
}

func headerWords(h *routev3.HeaderMatcher) string {
	if s := h.GetStringMatch(); s != nil {
		return stringWords(s)
	}
	if h.HeaderMatchSpecifier == nil || h.GetPresentMatch() {
		return "is there"
	}
	if _, ok := h.HeaderMatchSpecifier.(*routev3.HeaderMatcher_PresentMatch); ok {
		return "is missing"
	}
	return "matches"
}

func stringWords(s *matcherv3.StringMatcher) string {
	switch p := s.MatchPattern.(type) {
	case *matcherv3.StringMatcher_Exact:
		return "= " + p.Exact
	case *matcherv3.StringMatcher_Prefix:
		return "= " + p.Prefix + "*"
	case *matcherv3.StringMatcher_Suffix:
		return "= *" + p.Suffix
	case *matcherv3.StringMatcher_Contains:
		return "has " + p.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		return "~ " + p.SafeRegex.Regex
	}
	return "matches"
}

// Assignment is where the endpoints of a cluster stand, in the cluster itself
// or beside it; nil when it has none, or does not exist.
func (r *Resources) Assignment(cluster string) *endpointv3.ClusterLoadAssignment {
	c := r.Clusters[cluster]
	if c.GetLoadAssignment() != nil {
		return c.LoadAssignment
	}
	if c.GetEdsClusterConfig() == nil {
		return nil
	}
	return r.Endpoints[cmp.Or(c.EdsClusterConfig.ServiceName, cluster)]
}
