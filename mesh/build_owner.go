package mesh

import (
	"fmt"
	"net/netip"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// findTakers tells of entries that have a name or an address which belongs to
// a Service or a Pod of another namespace, and keeps what the answer depends on.
func (w *withholder) findTakers(h *registry.Host) {
	lost := func(s *registry.Service, winner object.Ref, field, format string, args ...any) {
		if len(w.findings) < maxWithheld {
			w.findings = append(w.findings, object.Finding{Object: s.Ref, Field: field, Code: object.CodeConflict, Winner: winner, Message: fmt.Sprintf(format, args...)})
		}
	}
	if full := fullName(h.Name); full != "" && full != h.Name {
		w.uses[full] = struct{}{}
	}
	if _, err := netip.ParseAddr(h.Name); err == nil {
		w.uses[h.Name] = struct{}{}
	}
	owner := h.Services[0].Ref
	if !h.Services[0].Kubernetes() {
		owner = w.world.nameHolder(h.Name, "")
	}
	for _, s := range h.Services {
		if owner != (object.Ref{}) && !s.Kubernetes() && owner.Namespace != s.Namespace {
			lost(s, owner, "spec.hosts", "%s is a name of a Service or a Pod of namespace %s, to which it belongs; for clients of other namespaces than the entry's it is not served: use another host, or put the entry into that namespace", s.Host, owner.Namespace)
		}
		for _, p := range s.Addresses {
			if !p.IsSingleIP() {
				continue
			}
			w.uses[p.Addr().String()] = struct{}{}
			if holder := w.world.AddressHolder(p.Addr()); holder != (object.Ref{}) && holder.Namespace != s.Namespace {
				lost(s, holder, "spec.addresses", "%s belongs to %s; connections to it do not come to %s: use an address of your own", p.Addr(), holder, s.Host)
			}
		}
	}
}
