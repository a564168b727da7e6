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

// exported counts the clusters and listeners that the Services and ServiceEntries of a
// namespace put on the sidecars of all others, whose memory they are, and knows which
// objects are kept to their own namespace because these are too many.
type exported struct {
	of    map[string]map[object.Ref]*export // those that count, by namespace
	stale map[string]struct{}               // namespaces that have to be looked at again
}

// export is an object that counts.
type export struct {
	object    any
	created   int64 // in seconds since 1970
	resources int
	kept      bool // to its namespace
}

func newExported() exported {
	return exported{of: map[string]map[object.Ref]*export{}, stale: map[string]struct{}{}}
}

// exportsOf is how many clusters and listeners an object puts on sidecars of other
// namespaces. Ports of HTTP have a cluster each, and share a listener; others have a
// listener at each address as well.
func exportsOf(obj any) (n int) {
	switch o := obj.(type) {
	case *corev1.Service:
		if v := registry.ExportTo(o); v.Private(o.Namespace, nil) || v.None() {
			return 0
		}
		for _, p := range o.Spec.Ports {
			n++
			if !object.KubernetesProtocol(string(p.Protocol), p.AppProtocol, p.Name, uint32(p.Port)).IsHTTP() { //nolint:gosec // the API server has checked it
				n += max(1, len(o.Spec.ClusterIPs))
			}
		}
	case *networkingv1.ServiceEntry:
		if v := object.Visibility(o.Spec.ExportTo); v.Private(o.Namespace, nil) || v.None() {
			return 0
		}
		n = len(o.Spec.Hosts) * (len(o.Spec.Ports) + bounds.EntryPortsOfTCP(o)*max(1, len(o.Spec.Addresses)))
	}
	return n
}

// exporting notes a change of a Service or ServiceEntry, and returns what of it is in
// force: one that is kept to its namespace stays so until the namespace is looked at.
func (b *builder) exporting(c Change) Change {
	at := b.exported.of[c.Ref.Namespace]
	was := at[c.Ref]
	n := exportsOf(c.Object)
	if n <= plainExport {
		if was != nil {
			delete(at, c.Ref)
			b.exported.stale[c.Ref.Namespace] = struct{}{}
			b.foundAs(c.Ref, "exports", nil)
		}
		return c
	}
	if at == nil {
		at = map[object.Ref]*export{}
		b.exported.of[c.Ref.Namespace] = at
	}
	next := &export{object: c.Object, created: createdAt(c.Object), resources: n, kept: was != nil && was.kept}
	at[c.Ref] = next
	b.exported.stale[c.Ref.Namespace] = struct{}{}
	if next.kept {
		c.Object = keptHome(c.Object)
	}
	return c
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
