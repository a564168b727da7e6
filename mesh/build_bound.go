package mesh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// boundAgain has what is found about VirtualServices of a Gateway be said again.
func (b *builder) boundAgain(gateway string) {
	for _, v := range b.world.VirtualServicesOf(gateway) {
		b.boundStale[v.Ref] = struct{}{}
	}
}

// settleBound says again which hosts of VirtualServices no Gateway of theirs serves.
func (b *builder) settleBound() {
	for ref := range b.boundStale {
		v, _ := b.world.virtualServices.Get(ref.Namespace + "/" + ref.Name)
		var findings []object.Finding
		if v != nil {
			findings = b.world.unadmitted(v)
		}
		b.foundAs(ref, "gateways", findings)
	}
	clear(b.boundStale)
}

// unadmitted tells of hosts of the VirtualService that none of its Gateways has, unless
// they may be for sidecars, and of Gateways that have none of its hosts.
func (w *World) unadmitted(v *traffic.VirtualService) (findings []object.Finding) {
	var gateways []*traffic.Gateway
	for _, name := range v.Gateways {
		if g := w.Gateway(name); g != nil && g.Ref.Kind == object.KindGateway && len(g.Servers) > 0 {
			gateways = append(gateways, g)
		}
	}
	if len(gateways) == 0 || len(v.Hosts) == 0 {
		return nil
	}
	found := func(field, format string, args ...any) {
		findings = append(findings, object.Finding{Object: v.Ref, Field: field, Code: object.CodeHostNotAdmitted, Message: fmt.Sprintf(format, args...)})
	}
	const remedy = "correct the host, or add it to a server"
	if len(gateways) == len(v.Gateways) { // else they may be served by another
		for _, h := range v.Hosts {
			if !slices.ContainsFunc(gateways, func(g *traffic.Gateway) bool { return g.Admits(v.Namespace, h) }) {
				i := slices.IndexFunc(v.Spec.Hosts, func(written string) bool { return object.ResolveHost(written, v.Namespace, object.Domain) == h })
				found(fmt.Sprintf("spec.hosts[%d]", i), "no server of %s has the host %s for namespace %s; nothing is routed for it: "+remedy, gatewayNames(gateways), h, v.Namespace)
			}
		}
		findings = append(findings, rulesUnserved(v, gateways)...)
	}
	for _, g := range gateways {
		if (len(gateways) > 1 || len(v.Gateways) > 1) && !slices.ContainsFunc(v.Hosts, func(h string) bool { return g.Admits(v.Namespace, h) }) {
			found("spec.gateways", "no server of Gateway %s has one of the hosts for namespace %s; nothing is routed there: "+remedy, g.Name, v.Namespace)
		}
	}
	return findings
}

// rulesUnserved tells of the rules of a VirtualService that no server serves which has a host of
// it: requests where the servers only take connections, or the other way round.
func rulesUnserved(v *traffic.VirtualService, gateways []*traffic.Gateway) (findings []object.Finding) {
	for _, rules := range []struct {
		traffic.Rules
		n       int
		servers string // that serve them
	}{
		{traffic.HTTPRules, len(v.Spec.Http), "HTTP, or HTTPS that ends at the gateway"},
		{traffic.TCPRules, len(v.Spec.Tcp), "TCP, or TLS"},
		{traffic.TLSRules, len(v.Spec.Tls), "TLS with mode PASSTHROUGH"},
	} {
		if rules.n == 0 {
			continue
		}
		var others []string
		served := false
		for _, g := range gateways {
			for _, s := range g.Servers {
				switch {
				case !s.Admits(v):
				case s.Serves(rules.Rules):
					served = true
				default:
					others = append(others, s.Protocol.String())
				}
			}
		}
		if served || len(others) == 0 { // without any server the hosts are told of
			continue
		}
		slices.Sort(others)
		findings = append(findings, object.Finding{Object: v.Ref, Field: "spec." + string(rules.Rules), Code: object.CodeUnreferenced, Message: fmt.Sprintf(
			"the servers of %s that have its hosts take %s, which %s rules are not used for; nothing is routed by these: add a server for %s, or write the rules for what the servers take",
			gatewayNames(gateways), strings.Join(slices.Compact(others), " and "), rules.Rules, rules.servers)})
	}
	return findings
}

func gatewayNames(gateways []*traffic.Gateway) string {
	names := make([]string, 0, len(gateways))
	for _, g := range gateways {
		names = append(names, "Gateway "+g.Name)
	}
	return strings.Join(names, " or ")
}
