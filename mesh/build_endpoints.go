package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// endpointSet makes the set of a service's endpoints for a host, as far as there is room:
// each port of each is an endpoint of a cluster, which is made anew whenever one of them
// changes. Those that are ready come first, then the oldest. left is how many endpoints of
// clusters the namespace may still have for the host.
func (b *builder) endpointSet(x *gathered, host string, left int) *registry.EndpointSet {
	s, about := x.service, "endpoints "+host
	ports := max(1, len(s.Ports))
	all := x.count + x.unread
	most := mostOf(s)
	may := min(most, left)
	room := may / ports
	b.turns.worked(s.Namespace, max(x.count, min(all, room)*ports))
	if all <= room {
		b.foundAs(s.Ref, about, nil)
		return registry.NewEndpointSet(x.endpoints())
	}
	finding := object.Finding{Object: s.Ref, Field: "spec.ports", Code: object.CodeInvalid}
	if x.wanted() == most && left >= most {
		finding.Message = fmt.Sprintf("%d ports × %d endpoints are more than %d; the %d youngest endpoints get no requests for host %s: have fewer ports, or select fewer workloads", len(s.Ports), all, most, all-room, host)
	} else {
		finding.Message = fmt.Sprintf("with the older hosts of namespace %s it has more than %d endpoints of clusters, the most of one namespace; %d of its %d endpoints get no requests for host %s: have fewer services select the same workloads, or have fairway.exportedResources raised in the mesh configuration",
			s.Namespace, b.mostEndpoints(s.Namespace), all-room, all, host)
	}
	b.foundAs(s.Ref, about, []object.Finding{finding})
	if room == 0 {
		return registry.NoEndpoints
	}
	list := x.endpoints()
	if len(list) <= room {
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
	return registry.NewEndpointSet(slices.Clone(list[:room])) // of those left out nothing stays
}

// mostOf is how many endpoints of clusters a service may have. Addresses that users list are
// more work than workloads, which are known.
func mostOf(s *registry.Service) int {
	if s.Kubernetes() && len(s.Selector) == 0 {
		return bounds.MaxListed
	}
	return bounds.MaxHostEndpoints
}

// sliceEndpoints reads the EndpointSlices of a service without a selector, those that are
// ready first, then the oldest, and no more than there is room for; unread is how many
// endpoints the others list.
func (b *builder) sliceEndpoints(s *registry.Service) (list []registry.Endpoint, unread int) {
	all := slices.SortedFunc(maps.Values(b.slices[s.Namespace][s.Name]), func(x, y *discoveryv1.EndpointSlice) int {
		return cmp.Or(x.CreationTimestamp.Time.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	listed := len(all)
	for _, slice := range all {
		listed += len(slice.Endpoints)
	}
	b.turns.worked(s.Namespace, listed/glance)
	return registry.EndpointsOfSlices(s, all, mostOf(s)/max(1, len(s.Ports)), b.podAt)
}
