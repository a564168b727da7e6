package translate

import (
	"fmt"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// requestPlaces serves the host where a VirtualService alone leads its requests.
func (p *Plan) requestPlaces(v *mesh.View, host string) {
	rule, places := v.Places(host)
	for i, at := range places {
		if i == rule.FitsPlaces() {
			p.Findings = append(p.Findings, tooManyPorts(rule, host, len(places), at.Port))
			return
		}
		in := routeInput(v, rule, at.Port)
		if !in.servesRequests() {
			continue
		}
		vh := VirtualHostInput{Name: host, Port: at.Port, Route: in}
		for _, name := range at.Names {
			vh.Domains = vh.Domains.and(domainsOf(v, name, nil, at.Port))
		}
		if at.Under != nil && at.Under.Port(at.Port).Protocol == object.ProtocolAuto && !v.ByNameOnly(at.Under, at.Port) {
			vh.Config = hostConfig(at.Under.Host, at.Port)
		} else {
			key := servedAt(v, at.Port)
			vh.Config = key.RouteConfig()
			p.Claims = append(p.Claims, Claim{Key: key, Kind: ClaimHTTP, Host: host})
		}
		if s, _ := v.Service(host); s != nil { // its rule is for other ports first of all
			vh.Beside = true
		}
		p.VirtualHosts = append(p.VirtualHosts, vh)
	}
}

// connectionPlaces serves the host where a VirtualService leads connections that came to
// the service of a pattern: those with TLS, which say whom they are for.
func (p *Plan) connectionPlaces(v *mesh.View, host string) {
	rule, places := v.ConnectionPlaces(host)
	for i, at := range places {
		if i == rule.FitsPlaces() {
			p.Findings = append(p.Findings, tooManyPorts(rule, host, len(places), at.Port))
			return
		}
		_, endpoints := v.Service(at.Under.Host)
		r := resolver{View: v, service: at.Under, endpoints: endpoints, rule: v.Rule(at.Under), connections: rule}
		port := at.Under.Port(at.Port)
		if !port.Protocol.IsTLS() {
			if tcp, _ := TCPRoutes(r.input(rule, at.Port)); len(tcp) > 0 {
				p.Findings = append(p.Findings, object.Finding{Object: rule.Ref, Field: "spec.tcp", Code: object.CodeUnsupported, Winner: at.Under.Ref,
					Message: fmt.Sprintf("connections to port %d of %s do not say which of its names they are for, so that the rules for %s do not apply to them: name %s in hosts, or declare protocol TLS", at.Port, at.Under.Host, host, at.Under.Host)})
			}
			continue
		}
		var names []string
		for _, name := range at.Names {
			names = append(names, serverNames(name)...)
		}
		for _, d := range r.doors(port) {
			if d.names = names; len(names) == 0 { // also where an address tells the service from others
				continue
			}
			if chains, _ := r.ruled(port, d, false); len(chains) > 0 {
				p.Claims = append(p.Claims, r.claim(d.key, host, chains))
			}
		}
		p.Findings = append(p.Findings, r.l4Findings(port)...)
	}
}
