package translate

import (
	"net/netip"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// podAddresses are the addresses of the pods behind a headless service as they
// stand in a Host header, so that requests to them go the way of those by the
// pods' names, with mutual TLS. An address belongs to one host only: to one that
// has it for its name or declares it, else to the oldest headless service behind
// which the pod is.
func (r *resolver) podAddresses(port *registry.Port) (out []string) {
	at := r.service.PortIndex(port.Number)
	older := r.OlderHeadless(r.service, port.Number)
	for _, e := range r.endpoints.Endpoints {
		a, err := netip.ParseAddr(e.Address)
		if err != nil || e.Ports[at] == 0 || !r.ServesDirectly(r.service, e) || older(e) {
			continue
		}
		pod := r.WorkloadAt(a)
		if pod == nil || pod.Ref.Kind != object.KindPod || pod.Ref != e.Workload.Ref || r.AddressOwner(a, port.Number) != "" || ownName(r.View, e.Address, port.Number) {
			continue
		}
		out = append(out, addressDomain(a.Unmap()))
	}
	return out
}
