package discovery

import (
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Lack is how many proxies have not accepted what was published of an object last.
type Lack struct {
	Proxies int
	Names   []string // "POD.NAMESPACE" of the first of them, in order
}

// Lacking tells for each object which proxies of this replica have not accepted what is made
// of it now, or still hold what was made of it before. It names at most so many for each. A
// zero Ref stands for whatever is made. A proxy that is just connecting lacks what it has not
// accepted since.
func (s *Server) Lacking(of []object.Ref, most int) map[object.Ref]Lack {
	known := map[lackKey]map[object.Ref]struct{}{}
	names := map[object.Ref][]string{}
	asked := map[object.Ref]struct{}{}
	for _, ref := range of {
		asked[ref] = struct{}{}
	}
	for _, st := range s.open() {
		h, _ := st.held(time.Now())
		if !h.behind && len(h.refused) == 0 {
			continue
		}
		key := lackKey{h.latest, h.acked}
		lacks := known[key]
		if h.behind && lacks == nil {
			lacks = touched(key)
			known[key] = lacks
		}
		name := st.proxyName()
		for ref := range asked {
			_, lacking := lacks[ref]
			if lacking && h.behind || slices.Contains(h.refused, ref) || ref == (object.Ref{}) {
				names[ref] = append(names[ref], name)
			}
		}
	}
	out := map[object.Ref]Lack{}
	for ref, list := range names {
		slices.Sort(list)
		out[ref] = Lack{len(list), list[:min(len(list), most)]}
	}
	return out
}

// touched are the objects of which something is on its way, to come or to go.
func touched(key lackKey) map[object.Ref]struct{} {
	out := map[object.Ref]struct{}{}
	for t := range snapshot.NumTypes {
		for _, d := range key.acked[t].Diff(key.latest, t) {
			for _, r := range []*snapshot.Resource{d.Old, d.New} {
				if r == nil {
					continue
				}
				for _, o := range r.Owners {
					out[o] = struct{}{}
				}
			}
		}
	}
	return out
}

// proxyName is what people call the client.
func (st *stream) proxyName() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.client.Pod + "." + st.client.Namespace
}
