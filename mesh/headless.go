package mesh

import (
	"slices"
	"sync"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// OlderHeadless returns whether an endpoint of a headless service is one of an
// older headless service too that the view sees, whose port of the number speaks
// HTTP as well. Such services are of one namespace, since nobody else's serve a Pod
// directly.
func (v *View) OlderHeadless(s *registry.Service, port uint32) func(registry.Endpoint) bool {
	rival := func(o *registry.Service) bool {
		if !o.Headless || o.Namespace != s.Namespace || object.Older(o.Created, o.Ref, s.Created, s.Ref) >= 0 {
			return false
		}
		if p := o.Port(port); p == nil || !p.Protocol.IsHTTP() {
			return false
		}
		seen, _ := v.Service(o.Host)
		return seen == o && v.Listens(o, port)
	}
	selecting := sync.OnceValue(func() (out []*registry.Service) { // few endpoints are asked for
		for _, o := range persist.Prefix(v.selecting, s.Namespace+"/") {
			if rival(o) {
				out = append(out, o)
			}
		}
		return out
	})
	return func(e registry.Endpoint) bool {
		if slices.ContainsFunc(selecting(), func(o *registry.Service) bool {
			return object.Selects(o.Selector, e.Workload.Labels) && registry.TargetPort(*o.Port(port), e.Workload) != 0
		}) {
			return true
		}
		hosts, _ := v.listed.Get(e.Address)
		return slices.ContainsFunc(hosts, func(host string) bool {
			h := v.Host(host)
			return slices.ContainsFunc(h.Services, rival)
		})
	}
}
