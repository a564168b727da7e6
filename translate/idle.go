package translate

import (
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// idleRules tell of rules for the service's own host that none of its ports has a use
// for: those for connections where it takes requests, and the other way round.
func (r *resolver) idleRules() (findings []object.Finding) {
	if own(r.connections, r.service.Host) {
		findings = r.idleConnections()
	}
	if !own(r.route, r.service.Host) || !routesHTTP(r.route) || !r.service.Kubernetes() { // names outside may well be led from one port to another
		return findings
	}
	led := false
	for i := range r.service.Ports {
		p := &r.service.Ports[i]
		if p.Protocol.IsHTTP() || p.Protocol == object.ProtocolAuto {
			return findings
		}
		led = led || p.Protocol != object.ProtocolUDP && r.Listens(r.service, p.Number) && r.input(r.route, p.Number).servesRequests()
	}
	if led {
		findings = append(findings, object.Finding{Object: r.route.Ref, Field: "spec.http", Code: object.CodePortNotFound,
			Message: fmt.Sprintf("no port of host %s takes requests; connections of sidecars to its ports go past these rules, which count for its name on port %d alone: declare the port's protocol as HTTP, or write tcp or tls rules", r.service.Host, mesh.RuleOnlyPort)})
	}
	return findings
}

func (r *resolver) idleConnections() (findings []object.Finding) {
	used, idle := map[string]bool{}, map[string]string{}
	note := func(routes []L4Route, uses bool, why string) {
		for _, x := range routes {
			if uses {
				used[x.Field] = true
			} else if idle[x.Field] == "" {
				idle[x.Field] = why
			}
		}
	}
	for i := range r.service.Ports {
		p := &r.service.Ports[i]
		if p.Protocol == object.ProtocolUDP || !r.Listens(r.service, p.Number) {
			continue
		}
		in := r.input(r.connections, p.Number)
		tcp, _ := TCPRoutes(in)
		note(tcp, !p.Protocol.IsHTTP(), fmt.Sprintf("port %d of host %s takes requests, which http rules lead; this rule does nothing on sidecars: write an http rule, or declare the port's protocol as TCP", p.Number, r.service.Host))
		tls, _ := TLSRoutes(in)
		note(tls, p.Protocol.IsTLS(), fmt.Sprintf("port %d of host %s does not declare TLS, so that nobody looks at the names which clients ask for; this rule does nothing on sidecars: declare the port's protocol as TLS or HTTPS", p.Number, r.service.Host))
	}
	for field, why := range idle {
		if !used[field] {
			findings = append(findings, object.Finding{Object: r.connections.Ref, Field: field, Code: object.CodePortNotFound, Message: why})
		}
	}
	return findings
}

// own tells whether the rule, which may be nil, is written for that very host.
func own(rule *traffic.VirtualService, host string) bool {
	return rule != nil && !rule.GatewayAPI && slices.Contains(rule.Hosts, host)
}

// idleOfAlias tells of rules for another name of a service that only the service's own
// rules could say: connections do not tell by which name they were made, and clusters are
// the service's.
func idleOfAlias(v *mesh.View, alias *registry.Service) (findings []object.Finding) {
	if rule := v.ConnectionRoute(alias.Host); own(rule, alias.Host) {
		field := "spec.tcp"
		if len(rule.Spec.Tcp) == 0 {
			field = "spec.tls"
		}
		findings = append(findings, object.Finding{Object: rule.Ref, Field: field, Code: object.CodeUnsupported,
			Message: fmt.Sprintf("%s is another name of %s, whose addresses its clients connect to; connections do not say by which name, and these rules do nothing on sidecars: write them for %s", alias.Host, alias.Alias, alias.Alias)})
	}
	if rule := v.Rule(alias); rule != nil && rule.Host == alias.Host {
		findings = append(findings, object.Finding{Object: rule.Ref(), Field: "spec.host", Code: object.CodeUnsupported,
			Message: fmt.Sprintf("%s is another name of %s, whose endpoints its clients get; this rule does nothing: write it for %s", alias.Host, alias.Alias, alias.Alias)})
	}
	return findings
}
