package mesh

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// endpointSet makes the set of a service's endpoints for a host, as far as there is room:
// each port of each is an endpoint of a cluster, which is made anew whenever one of them
// changes. Those that are ready come first, then the oldest.
func (b *builder) endpointSet(s *registry.Service, host string, list []registry.Endpoint) *registry.EndpointSet {
	about := "endpoints " + host
	room := bounds.MaxHostEndpoints / max(1, len(s.Ports))
	if len(list) <= room {
		b.foundAs(s.Ref, about, nil)
		return registry.NewEndpointSet(list)
	}
	slices.SortStableFunc(list, func(x, y registry.Endpoint) int {
		switch {
		case x.Healthy && !y.Healthy:
			return -1
		case y.Healthy && !x.Healthy:
			return 1
		}
		return cmp.Or(object.Older(x.Workload.Created, x.Workload.Ref, y.Workload.Created, y.Workload.Ref), cmp.Compare(x.Address, y.Address))
	})
	b.foundAs(s.Ref, about, []object.Finding{{Object: s.Ref, Field: "spec.ports", Code: object.CodeInvalid, Message: fmt.Sprintf(
		"%d ports × %d endpoints are more than %d; the %d youngest endpoints get no requests for host %s: have fewer ports, or select fewer workloads", len(s.Ports), len(list), bounds.MaxHostEndpoints, len(list)-room, host)}})
	return registry.NewEndpointSet(slices.Clone(list[:room])) // of those left out nothing stays
}
