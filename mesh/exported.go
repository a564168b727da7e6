package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// exported counts the clusters and listeners that the Services and ServiceEntries of a
// namespace put on the sidecars of all others, whose memory they are, and knows which
// objects are kept to their own namespace because these are too many.
type exported struct {
	of    map[string]*exports     // by namespace
	stale map[string]struct{}     // namespaces that have to be looked at again
	pods  map[object.Ref]int      // behind headless Services: each has listeners of its own
	again map[object.Ref]struct{} // Services whose pods have become more or fewer
}

// exports are the objects of a namespace that count.
type exports struct {
	of    map[object.Ref]*export
	sum   tally
	ports map[uint32]int // objects, by the port of a listener that they share
	kept  int            // objects
}

func newExported() exported {
	return exported{of: map[string]*exports{}, stale: map[string]struct{}{}, pods: map[object.Ref]int{}, again: map[object.Ref]struct{}{}}
}

// exporting notes a change of a Service or ServiceEntry, and returns what of it is in
// force: one that is kept to its namespace stays so until the namespace is looked at.
func (b *builder) exporting(c Change) Change {
	if b.countExport(c.Ref, c.Object) {
		c.Object = keptHome(c.Object)
	}
	return c
}

// countExport counts an object in place of what it was before, and tells whether it is kept
// to its namespace for now.
func (b *builder) countExport(ref object.Ref, obj any) (kept bool) {
	ns := ref.Namespace
	at, next := b.exported.of[ns], newExport(ref, obj, b.exported.pods[ref])
	if at == nil {
		if next == nil {
			return false
		}
		at = &exports{of: map[object.Ref]*export{}, ports: map[uint32]int{}}
		b.exported.of[ns] = at
	}
	was := at.of[ref]
	if was != nil {
		at.count(was, -1)
	}
	if next != nil {
		next.home = next.unsaid && athome(b.world.Config.DefaultServiceExportTo, ns)
		next.kept = was != nil && was.kept
		at.count(next, 1)
	} else if was != nil && was.kept {
		b.foundAs(ref, "exports", nil)
	}
	if at.kept > 0 || was != nil && was.kept || !b.exportable(ns, at.sum, len(at.ports)) {
		b.exported.stale[ns] = struct{}{}
	}
	if len(at.of) == 0 {
		delete(b.exported.of, ns)
	}
	return next != nil && next.kept
}

// count takes an object in, or out.
func (x *exports) count(e *export, sign int) {
	if !e.home {
		x.sum = x.sum.plus(e.counts, sign)
		for _, p := range e.ports {
			if x.ports[p] += sign; x.ports[p] == 0 {
				delete(x.ports, p)
			}
		}
	}
	if sign < 0 {
		delete(x.of, e.ref)
	} else {
		x.of[e.ref] = e
	}
	if e.kept {
		x.kept += sign
	}
}

// exportable tells whether objects of a namespace may put so much on other sidecars, with
// listeners at so many ports that services share.
func (b *builder) exportable(namespace string, t tally, ports int) bool {
	t = t.plus(tally{all: ports, listeners: ports}, 1)
	return namespace == b.world.Config.RootNamespace || t.within(b.world.Config.ExportedResources)
}

// countPods notes how many pods are behind the headless Services of a host.
func (e *exported) countPods(old, next *registry.Host) {
	n := map[object.Ref]int{}
	for _, h := range []*registry.Host{old, next} {
		if h == nil {
			continue
		}
		for i, s := range h.Services {
			if s.Kubernetes() && s.Headless {
				n[s.Ref] = 0
				if h == next {
					n[s.Ref] = len(h.Endpoints[i].Endpoints)
				}
			}
		}
	}
	for ref, pods := range n {
		if e.pods[ref] == pods {
			continue
		}
		if e.again[ref] = struct{}{}; pods == 0 {
			delete(e.pods, ref)
		} else {
			e.pods[ref] = pods
		}
	}
}

// settlePods counts Services again whose pods have become more or fewer, and tells whether
// namespaces have to be looked at because of that.
func (b *builder) settlePods() (changed bool) {
	for ref := range b.exported.again {
		var was *export
		if at := b.exported.of[ref.Namespace]; at != nil {
			was = at.of[ref]
		}
		if was == nil {
			continue // it puts nothing there, whatever is behind it
		}
		if kept := b.countExport(ref, was.object); was.kept && !kept {
			b.dispatch(Change{Ref: ref, Object: was.object})
		}
	}
	clear(b.exported.again)
	return len(b.exported.stale) > 0
}

// exportAgain has all namespaces looked at again, by the default that is now in force.
func (b *builder) exportAgain() {
	for ns, at := range b.exported.of {
		b.exported.stale[ns] = struct{}{}
		home := athome(b.world.Config.DefaultServiceExportTo, ns)
		for _, e := range slices.Collect(maps.Values(at.of)) {
			if e.unsaid && e.home != home {
				at.count(e, -1)
				e.home = home
				at.count(e, 1)
			}
		}
	}
}

// settleExports decides by age which objects of the namespaces concerned are exported.
func (b *builder) settleExports() {
	for _, ns := range slices.Sorted(maps.Keys(b.exported.stale)) {
		b.settleExportsOf(ns, b.exported.of[ns])
	}
	clear(b.exported.stale)
}

func (b *builder) settleExportsOf(ns string, at *exports) {
	if at == nil {
		return
	}
	byAge := slices.SortedFunc(maps.Values(at.of), func(x, y *export) int {
		return cmp.Or(cmp.Compare(x.created, y.created), object.CompareRefs(x.ref, y.ref))
	})
	most := b.world.Config.ExportedResources
	message := fmt.Sprintf(
		"with the older Services and ServiceEntries of namespace %s it puts more on the sidecars of other namespaces than %d clusters and listeners, of which %d may be listeners of TCP and %d of objects that ask for more than %d; "+
			"it is served in its own namespace only: export it to '.', give it fewer hosts, ports or addresses, or have fairway.exportedResources raised in the mesh configuration", ns, most*allExports, most, most, plainExport)
	var sum tally
	var last object.Ref
	ports := map[uint32]struct{}{}
	at.kept = 0
	for _, e := range byAge {
		if e.home {
			if e.kept {
				e.kept = false
				b.foundAs(e.ref, "exports", nil)
				b.dispatch(Change{Ref: e.ref, Object: e.object})
			}
			continue
		}
		others := 0
		for _, p := range e.ports {
			if _, is := ports[p]; !is {
				others++
			}
		}
		was := e.kept
		e.kept = !b.exportable(ns, sum.plus(e.counts, 1), len(ports)+others)
		if e.kept {
			at.kept++
			b.foundAs(e.ref, "exports", []object.Finding{{Object: e.ref, Field: "exportTo", Code: object.CodeInvalid, Winner: last, Message: message}})
			if !was {
				b.dispatch(Change{Ref: e.ref, Object: keptHome(e.object)})
			}
			continue
		}
		sum, last = sum.plus(e.counts, 1), e.ref
		for _, p := range e.ports {
			ports[p] = struct{}{}
		}
		if was {
			b.foundAs(e.ref, "exports", nil)
			b.dispatch(Change{Ref: e.ref, Object: e.object})
		}
	}
}

// home is a list that leaves of another at most the object's own namespace.
func home(v object.Visibility, namespace string) string {
	if v.VisibleFrom(namespace, namespace, nil) {
		return "."
	}
	return "~" // its own does not see it either
}

// keptHome is a Service or ServiceEntry as if it were exported to no other namespace than
// its own.
func keptHome(obj any) any {
	switch o := obj.(type) {
	case *corev1.Service:
		out := *o
		out.Annotations = maps.Clone(o.Annotations)
		if out.Annotations == nil {
			out.Annotations = map[string]string{}
		}
		out.Annotations[registry.ExportToAnnotation] = home(registry.ExportTo(o), o.Namespace)
		return &out
	case *networkingv1.ServiceEntry:
		out := &networkingv1.ServiceEntry{TypeMeta: o.TypeMeta, ObjectMeta: o.ObjectMeta}
		out.Spec = networking.ServiceEntry{
			Hosts: o.Spec.Hosts, Addresses: o.Spec.Addresses, Ports: o.Spec.Ports, Location: o.Spec.Location, Resolution: o.Spec.Resolution,
			Endpoints: o.Spec.Endpoints, WorkloadSelector: o.Spec.WorkloadSelector, ExportTo: []string{home(o.Spec.ExportTo, o.Namespace)}, SubjectAltNames: o.Spec.SubjectAltNames,
		}
		return out
	}
	return obj
}
