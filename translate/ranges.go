package translate

import (
	"fmt"
	"net/netip"
	"slices"

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
		h.address, h.holder = r.RangeHolder(r.service.Namespace, p)
		if r.held == nil {
			r.held = map[netip.Prefix]heldRange{}
		}
		r.held[p] = h
	}
	return h
}

// cutsRanges tells whether there is such a range.
func (r *resolver) cutsRanges() bool {
	return slices.ContainsFunc(r.service.Addresses, func(p netip.Prefix) bool { return !p.IsSingleIP() && r.rangeHolder(p).holder != (object.Ref{}) })
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

// within cuts what chains at a listener for any address take by the destinationSubnets of a
// rule: for Envoy they are more specific than the chains of all others there, so that they
// would take what is meant for those. Of a service with ranges they count within these, and of
// one without where nobody of another namespace has an address. Clients of the rule's own
// namespace, and those of the operator's rules, follow them as they are.
func (r *resolver) within(chains []Chain, d door) []Chain {
	if ns := r.connections.Namespace; d.key.Address != AnyAddress || ns == r.Scope.Namespace || ns == r.Config.RootNamespace {
		return chains
	}
	var out []Chain
	for _, c := range chains {
		if len(c.Prefixes) == 0 {
			out = append(out, c)
			continue
		}
		before := c.Prefixes
		if len(d.prefixes) > 0 {
			c.Prefixes = intersection(before, d.prefixes)
		} else {
			c.Prefixes = slices.DeleteFunc(slices.Clone(before), func(p netip.Prefix) bool {
				_, holder := r.RangeHolder(r.connections.Namespace, p)
				return holder != (object.Ref{})
			})
		}
		r.cutSubnets = r.cutSubnets || !slices.Equal(before, c.Prefixes)
		if len(c.Prefixes) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// intersection is what prefixes have in common with others, in their order.
func intersection(prefixes, others []netip.Prefix) (out []netip.Prefix) {
	for _, p := range prefixes {
		for _, o := range others {
			common := p
			if o.Bits() > p.Bits() {
				common = o
			}
			if p.Overlaps(o) && !slices.Contains(out, common) {
				out = append(out, common)
			}
		}
	}
	return out
}

// subnetFindings tell of destinationSubnets that were cut.
func (r *resolver) subnetFindings(port *registry.Port) []object.Finding {
	if !r.cutSubnets {
		return nil
	}
	r.cutSubnets = false
	return []object.Finding{{Object: r.connections.Ref, Field: "spec", Code: object.CodeConflict, Winner: r.service.Ref,
		Message: fmt.Sprintf("sidecars of other namespaces than %s follow destinationSubnets on port %d only within the addresses that %s declares for %s or, if it declares none, where nobody of the mesh has an address; others are left out there: name narrower ones, or have the operator put the rule into the root namespace",
			r.connections.Namespace, port.Number, r.service.Ref, r.service.Host)}}
}
