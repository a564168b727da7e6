package mesh

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// serviceEntry reports endpoints that are shown to the entry's own namespace
// only.
func (r *references) serviceEntry(o *networkingv1.ServiceEntry) {
	se := parseServiceEntry(o, object.Domain)
	for _, e := range se.inline {
		r.leadsInside(entryWorkload(e, se.ref, nil, se.created).Address())
	}
	if len(se.inline) > 0 || se.selector != nil {
		return
	}
	for _, s := range se.services {
		if resolvesInside(s) || s.byItsName() {
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
