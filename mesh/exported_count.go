package mesh

import (
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// plainExport is how many clusters and listeners one Service or ServiceEntry may put on
// the sidecars of other namespaces without counting as one that multiplies: of those the
// mesh takes fewer than of objects which are as many as what they put there.
const plainExport = 100

// allExports is how many times as many clusters and listeners all objects of a namespace
// may put there as those that multiply. Of listeners alone they may put no more than those:
// each is 8 to 16 KiB of a proxy's configuration, and a cluster half of one.
const allExports = 6

// plainNames is how many bytes of subjectAltNames a cluster may have without counting as
// several.
const plainNames = 1 << 10

// export is an object that counts.
type export struct {
	ref     object.Ref
	object  any
	created int64 // in seconds since 1970
	counts  tally
	ports   []uint32 // of the listeners that services may share, as those of HTTP and of TCP without an address do
	kept    bool     // to its namespace
	unsaid  bool     // the mesh's default says to whom it is exported
	home    bool     // to nobody else, by that default: it counts for nothing
}

// tally is how many clusters and listeners objects put on other sidecars.
type tally struct {
	all, listeners int
	many           int // of those that put more than plainExport there
}

func (t tally) plus(o tally, sign int) tally {
	return tally{t.all + sign*o.all, t.listeners + sign*o.listeners, t.many + sign*o.many}
}

// within tells whether a namespace may have them.
func (t tally) within(most int) bool {
	return t.many <= most && t.listeners <= most && t.all <= most*allExports
}

// newExport counts the clusters and listeners that an object puts on sidecars of other
// namespaces; nil when there are none. Ports of HTTP have a cluster each, and share a
// listener; others have a listener at each address as well, which of a headless Service are
// those of its pods. Each port of a headless Service has another cluster, for calls of its
// pods.
func newExport(ref object.Ref, obj any, pods int) *export {
	e := &export{ref: ref, object: obj, created: createdAt(obj)}
	clusters := 0
	switch o := obj.(type) {
	case *corev1.Service:
		v := registry.ExportTo(o)
		if e.unsaid = len(v) == 0; athome(v, o.Namespace) {
			return nil
		}
		for _, p := range o.Spec.Ports {
			if clusters++; o.Spec.ClusterIP == corev1.ClusterIPNone {
				clusters++
			}
			number := uint32(p.Port) //nolint:gosec // the API server has checked it
			if object.KubernetesProtocol(string(p.Protocol), p.AppProtocol, p.Name, number).IsHTTP() {
				e.ports = append(e.ports, number)
			} else {
				e.counts.listeners += max(1, len(o.Spec.ClusterIPs), pods)
			}
		}
		e.counts.many = clusters + e.counts.listeners
	case *networkingv1.ServiceEntry:
		v := object.Visibility(o.Spec.ExportTo)
		if e.unsaid = len(v) == 0; athome(v, o.Namespace) {
			return nil
		}
		names := 0 // each cluster says them again
		for _, name := range o.Spec.SubjectAltNames {
			names += len(name)
		}
		clusters = len(o.Spec.Hosts) * len(o.Spec.Ports) * (1 + names/plainNames)
		tcp := len(o.Spec.Hosts) * bounds.EntryPortsOfTCP(o)
		e.counts.listeners = tcp * len(o.Spec.Addresses)
		e.counts.many = clusters + tcp*max(1, len(o.Spec.Addresses))
		for _, p := range o.Spec.Ports {
			e.ports = append(e.ports, p.GetNumber())
		}
	}
	if clusters == 0 {
		return nil
	}
	e.counts.all = clusters + e.counts.listeners
	if e.counts.many <= plainExport {
		e.counts.many = 0
	}
	slices.Sort(e.ports)
	e.ports = slices.Clip(slices.Compact(e.ports))
	return e
}

// athome tells whether a list exports to no other namespace.
func athome(v object.Visibility, namespace string) bool {
	return v.Private(namespace, nil) || v.None()
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
