package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// plainExport is how many clusters and listeners one Service or ServiceEntry may put on
// the sidecars of other namespaces without counting: who wants more writes more objects,
// whose number a ResourceQuota bounds. What puts more there is small and multiplies.
const plainExport = 100

// plainNames is how many bytes of subjectAltNames a cluster may have without counting as
// several.
const plainNames = 1 << 10

// exported counts the clusters and listeners that the Services and ServiceEntries of a
// namespace put on the sidecars of all others, whose memory they are, and knows which
// objects are kept to their own namespace because these are too many.
type exported struct {
	of    map[string]map[object.Ref]*export // those that count, by namespace
	stale map[string]struct{}               // namespaces that have to be looked at again
	pods  map[object.Ref]int                // behind headless Services: each has listeners of its own
	again map[object.Ref]struct{}           // Services whose pods have become more or fewer
}

// export is an object that counts.
type export struct {
	object    any
	created   int64 // in seconds since 1970
	resources int
	kept      bool // to its namespace
}

func newExported() exported {
	return exported{of: map[string]map[object.Ref]*export{}, stale: map[string]struct{}{}, pods: map[object.Ref]int{}, again: map[object.Ref]struct{}{}}
}

// exportsOf is how many clusters and listeners an object puts on sidecars of other
// namespaces. Ports of HTTP have a cluster each, and share a listener; others have a
// listener at each address as well, which of a headless Service are those of its pods.
func exportsOf(obj any, pods int) (n int) {
	switch o := obj.(type) {
	case *corev1.Service:
		if v := registry.ExportTo(o); v.Private(o.Namespace, nil) || v.None() {
			return 0
		}
		for _, p := range o.Spec.Ports {
			n++
			if !object.KubernetesProtocol(string(p.Protocol), p.AppProtocol, p.Name, uint32(p.Port)).IsHTTP() { //nolint:gosec // the API server has checked it
				n += max(1, len(o.Spec.ClusterIPs), pods)
			}
		}
	case *networkingv1.ServiceEntry:
		if v := object.Visibility(o.Spec.ExportTo); v.Private(o.Namespace, nil) || v.None() {
			return 0
		}
		names := 0 // each cluster says them again
		for _, name := range o.Spec.SubjectAltNames {
			names += len(name)
		}
		n = len(o.Spec.Hosts) * (len(o.Spec.Ports)*(1+names/plainNames) + bounds.EntryPortsOfTCP(o)*max(1, len(o.Spec.Addresses)))
	}
	return n
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
	was := b.exported.of[ref.Namespace][ref]
	n := exportsOf(obj, b.exported.pods[ref])
	if n <= plainExport {
		if was != nil {
			remove(b.exported.of, ref.Namespace, ref)
			b.exported.stale[ref.Namespace] = struct{}{}
			b.foundAs(ref, "exports", nil)
		}
		return false
	}
	kept = was != nil && was.kept
	put(b.exported.of, ref.Namespace, ref, &export{object: obj, created: createdAt(obj), resources: n, kept: kept})
	b.exported.stale[ref.Namespace] = struct{}{}
	return kept
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
		was := b.exported.of[ref.Namespace][ref]
		if was == nil {
			if o := b.raw[ref]; o != nil {
				b.countExport(ref, o)
			}
			continue
		}
		if kept := b.countExport(ref, was.object); was.kept && !kept { // it has become small
			b.dispatch(Change{ref, was.object})
		}
	}
	clear(b.exported.again)
	return len(b.exported.stale) > 0
}

// exportAgain has all namespaces looked at again.
func (b *builder) exportAgain() {
	for ns := range b.exported.of {
		b.exported.stale[ns] = struct{}{}
	}
}

// settleExports decides by age which objects of the namespaces concerned are exported.
func (b *builder) settleExports() {
	for _, ns := range slices.Sorted(maps.Keys(b.exported.stale)) {
		b.settleExportsOf(ns, b.exported.of[ns])
	}
	clear(b.exported.stale)
}

func (b *builder) settleExportsOf(ns string, at map[object.Ref]*export) {
	if len(at) == 0 {
		delete(b.exported.of, ns)
		return
	}
	most := b.world.Config.ExportedResources
	byAge := slices.SortedFunc(maps.Keys(at), func(x, y object.Ref) int {
		return cmp.Or(cmp.Compare(at[x].created, at[y].created), object.CompareRefs(x, y))
	})
	sum, last := 0, object.Ref{}
	for _, ref := range byAge {
		e := at[ref]
		kept := sum+e.resources > most && ns != b.world.Config.RootNamespace
		if kept {
			b.foundAs(ref, "exports", []object.Finding{{Object: ref, Field: "exportTo", Code: object.CodeInvalid, Winner: last, Message: fmt.Sprintf(
				"with the older Services and ServiceEntries of namespace %s that ask for more than %d it puts more than %d clusters and listeners on the sidecars of other namespaces; it is served in its own namespace only: "+
					"export it to '.', give it fewer hosts, ports or addresses, or have fairway.exportedResources raised in the mesh configuration", ns, plainExport, most)}})
		} else {
			sum, last = sum+e.resources, ref
			b.foundAs(ref, "exports", nil)
		}
		if kept == e.kept {
			continue
		}
		if e.kept = kept; kept {
			b.dispatch(Change{ref, keptHome(e.object)})
		} else {
			b.dispatch(Change{ref, e.object})
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

// createdAt is when an object was made, in seconds since 1970.
func createdAt(obj any) int64 {
	switch o := obj.(type) {
	case *corev1.Service:
		return o.CreationTimestamp.Unix()
	case *networkingv1.ServiceEntry:
		return o.CreationTimestamp.Unix()
	}
	return 0
}
