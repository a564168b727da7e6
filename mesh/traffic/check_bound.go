package traffic

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// unbound tells of matches, as they were written, for gateways that the VirtualService is
// not bound to: a match narrows what spec.gateways says, and adds nothing to it.
func (v *VirtualService) unbound(spec *networking.VirtualService) (findings []object.Finding) {
	if len(spec.Hosts) == 0 { // a delegate is bound to what its roots are
		return nil
	}
	look := func(list string, i, j int, gateways []string) {
		for k, g := range gateways {
			if !v.On(ResolveGateway(g, v.Namespace)) {
				findings = append(findings, object.Finding{Object: v.Ref, Field: fmt.Sprintf("spec.%s[%d].match[%d].gateways[%d]", list, i, j, k), Code: object.CodeUnreferenced,
					Message: fmt.Sprintf("%s is none of spec.gateways, so that the match takes nothing there: add it to spec.gateways, or correct the name", g)})
			}
		}
	}
	for i, r := range spec.Http {
		for j, m := range r.GetMatch() {
			look("http", i, j, m.GetGateways())
		}
	}
	for i, r := range spec.Tcp {
		for j, m := range r.GetMatch() {
			look("tcp", i, j, m.GetGateways())
		}
	}
	for i, r := range spec.Tls {
		for j, m := range r.GetMatch() {
			look("tls", i, j, m.GetGateways())
		}
	}
	return findings
}
