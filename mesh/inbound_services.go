package mesh

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// leading is a service that leads to a workload, and where on the workload each
// of its ports leads, by index of Service.Ports; 0: nowhere.
type leading struct {
	service *registry.Service
	ports   []uint32
}

// servicesTo are the services of the workload's namespace that lead to it, oldest
// first: those whose selector selects it, and those that list its address, in
// EndpointSlices or as an endpoint. Services of other namespaces decide nothing of
// what it accepts.
func (w *World) servicesTo(x *registry.Workload) []leading {
	var out []leading
	for _, s := range w.ServicesOf(x) {
		out = append(out, leading{s, registry.TargetPorts(s, x)})
	}
	for _, a := range x.Addresses {
		hosts, _ := w.listed.Get(a.String())
		for _, name := range hosts {
			h := w.Host(name)
			for i, s := range h.Services {
				if s.Namespace != x.Namespace || s.Selector != nil {
					continue
				}
				for _, e := range h.Endpoints[i].At(a.String()) {
					if e.Workload.Ref.Kind != object.KindPod || e.Workload.Ref == x.Ref {
						out = append(out, leading{s, e.Ports})
					}
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b leading) int {
		return object.Older(a.service.Created, a.service.Ref, b.service.Created, b.service.Ref)
	})
	return out
}

// listing is a service that lists an address, and what of that decides what the
// workload there accepts.
type listing struct {
	service *registry.Service
	ports   string
}

// listings are the services of the host without a selector by each address that
// they list.
func listings(h *registry.Host) map[string][]listing {
	if h == nil {
		return nil
	}
	var out map[string][]listing
	for i, s := range h.Services {
		if s.Selector != nil {
			continue
		}
		for _, e := range h.Endpoints[i].Endpoints {
			if _, err := netip.ParseAddr(e.Address); err != nil {
				continue
			}
			if out == nil {
				out = map[string][]listing{}
			}
			ports := e.Workload.Ref.String()
			for _, p := range e.Ports {
				ports += " " + strconv.FormatUint(uint64(p), 10)
			}
			out[e.Address] = append(out[e.Address], listing{s, ports})
		}
	}
	return out
}

// indexListed keeps the index of hosts by the addresses that they list, and marks
// the workloads there to which they lead otherwise than before.
func (b *builder) indexListed(old, next *registry.Host) {
	was, is := listings(old), listings(next)
	for a, l := range is {
		if was[a] == nil {
			b.world.listed = member(b.world.listed, a, next.Name, true)
		}
		if !slices.Equal(was[a], l) {
			b.dirtyListed(a, next)
		}
	}
	for a := range was {
		if is[a] == nil {
			b.world.listed = member(b.world.listed, a, old.Name, false)
			b.dirtyListed(a, old)
		}
	}
}

// dirtyListed marks what the workloads at an address accept that are of a
// namespace with a service for the host.
func (b *builder) dirtyListed(address string, h *registry.Host) {
	for _, s := range h.Services {
		for _, x := range b.holders[address] {
			if x.Namespace == s.Namespace {
				b.dirty.Workloads[x.Ref] = struct{}{}
			}
		}
		b.dirty.Selectors[s.Namespace] = struct{}{}
	}
}

// rivalPorts finds ports of services that lead to a port of the workload which an older
// service says to speak something else.
func rivalPorts(x *registry.Workload, services []leading) (findings []object.Finding) {
	type told struct {
		by       *registry.Service
		protocol object.Protocol
	}
	first := map[uint32]told{}
	for _, s := range services {
		for i, p := range s.service.Ports {
			target := s.ports[i]
			if target == 0 || p.Protocol == object.ProtocolUDP {
				continue
			}
			was, taken := first[target]
			if !taken {
				first[target] = told{s.service, p.Protocol}
				continue
			}
			if was.protocol != p.Protocol && was.by != s.service {
				findings = append(findings, object.Finding{Object: s.service.Ref, Field: "spec.ports[" + p.Name + "]", Code: object.CodeConflict, Winner: was.by.Ref, Message: fmt.Sprintf(
					"port %d leads to port %d of the pods of %s as %s, and %s, which is older, as %s; what the pods accept there is %s: give both ports one protocol, by name or appProtocol", p.Number, target, cmp.Or(x.Owner, x.Name), p.Protocol, was.by.Ref, was.protocol, was.protocol)})
			}
		}
	}
	return findings
}
