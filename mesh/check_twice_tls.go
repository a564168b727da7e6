package mesh

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// twiceTLS tells of a rule that has proxies speak TLS to a port to which clients do so
// themselves. Where some route for requests leads to the host, the rule may be for these.
func (r *references) twiceTLS(rule *traffic.DestinationRule) {
	h := r.world.Host(rule.Host)
	if h == nil {
		return
	}
	told := map[uint32]bool{}
	for _, s := range h.Services {
		for _, p := range s.Ports {
			field, mode := originates(rule.Policy, p.Number)
			if field == "" || !p.Protocol.IsTLS() || told[p.Number] || r.names.requestsFor(rule.Host) {
				continue
			}
			told[p.Number] = true
			r.found(object.CodeConflict, s.Ref, field+".mode",
				"port %d of host %s is declared as %s, so that clients speak TLS to it themselves, and %s has proxies wrap that in TLS once more, which servers refuse: take tls out, or declare the port as HTTP (of a ServiceEntry with targetPort %d) for clients that speak plain HTTP",
				p.Number, rule.Host, p.Protocol, mode, p.Number)
		}
	}
}

// originates is the field that has proxies speak TLS to a port, with its mode; "": none.
func originates(p *networking.TrafficPolicy, port uint32) (field string, mode networking.ClientTLSSettings_TLSmode) {
	field, tls := "spec.trafficPolicy.tls", p.GetTls()
	for i, l := range p.GetPortLevelSettings() {
		if l.GetPort().GetNumber() == port {
			field, tls = fmt.Sprintf("spec.trafficPolicy.portLevelSettings[%d].tls", i), l.GetTls()
			break
		}
	}
	if mode = tls.GetMode(); mode != networking.ClientTLSSettings_SIMPLE && mode != networking.ClientTLSSettings_MUTUAL {
		return "", mode
	}
	return field, mode
}

// requestsFor tells whether some route for requests leads to the host.
func (n *Names) requestsFor(host string) bool {
	if n.routed == nil {
		n.routed = map[string]bool{}
		add := func(v *traffic.VirtualService) {
			if len(v.Spec.Http) > 0 {
				for _, d := range v.Destinations {
					n.routed[d] = true
				}
			}
		}
		for _, v := range n.world.VirtualServices() {
			add(v)
		}
		for _, g := range n.world.Gateways() {
			for _, s := range g.Servers {
				for _, b := range s.Bound {
					add(b.VirtualService)
				}
			}
		}
	}
	return n.routed[host]
}
