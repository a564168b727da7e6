package translate

import (
	"fmt"
	"net/netip"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// heldRange says who of another namespace has an address in a range, as
// mesh.View.RangeHolder does.
type heldRange struct {
	address netip.Addr
	holder  object.Ref
}

// rangeHolder is who keeps the service from a range that it declares. For Envoy the range
// is more specific than all listeners that take requests by their names, so that it would
// take those for everybody in it.
func (r *resolver) rangeHolder(p netip.Prefix) heldRange {
	h, known := r.held[p]
	if !known {
		h.address, h.holder = r.RangeHolder(r.service, p)
		if r.held == nil {
			r.held = map[netip.Prefix]heldRange{}
		}
		r.held[p] = h
	}
	return h
}

// rangeFindings tell of ranges that are left out since others have addresses there.
func (r *resolver) rangeFindings(port *registry.Port) (out []object.Finding) {
	if r.Sidecar.BindOf(port.Number) != (traffic.Bind{}) {
		return nil
	}
	for _, p := range r.service.Addresses {
		if p.IsSingleIP() {
			continue
		}
		if h := r.rangeHolder(p); h.holder != (object.Ref{}) {
			out = append(out, object.Finding{Object: r.service.Ref, Field: "spec.addresses", Code: object.CodeConflict, Winner: h.holder,
				Message: fmt.Sprintf("%s has %s in it, an address of %s in another namespace; for sidecars of other namespaces than %s the range is left out: use ranges in which nobody in the mesh has an address, or have the operator put the entry into the root namespace", p, h.address, h.holder, r.service.Namespace)})
		}
	}
	return out
}
