package mesh

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// serviceEntry reports endpoints that are shown to the entry's own namespace
// only.
func (r *references) serviceEntry(o *networkingv1.ServiceEntry) {
	se := registry.ParseServiceEntry(o, object.Domain)
	for _, e := range se.Inline {
		r.leadsInside(registry.ParseWorkloadEntry(e, se.Ref, nil, se.Created).Address())
	}
	if len(se.Inline) > 0 || se.Selector != nil {
		return
	}
	for _, s := range se.Services {
		if resolvesInside(s) || s.ByItsName() {
			r.leadsInside(s.Host)
		}
	}
}

// leadsInside reports the address of an endpoint where no proxy that others
// share is led.
func (r *references) leadsInside(address string) {
	if r.world.Config.MayLeadInside(r.ref.Namespace) || address == "" {
		return
	}
	if why := placeOf(address).why; why != "" && why != notAName { // which is an error already
		r.findings = append(r.findings, withheldFinding(r.ref, address, why))
	}
}
