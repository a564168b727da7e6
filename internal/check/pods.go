package check

import (
	"encoding/binary"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/workload"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// addresses hands out addresses that nobody has (RFC 1112, class E), for pods that do
// not run yet.
type addresses struct{ last uint32 }

func (a *addresses) next() string {
	a.last++
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 240<<24+a.last)
	return netip.AddrFrom4(b).String()
}

// run gives a Pod what it has once it runs.
func (a *addresses) run(p *corev1.Pod) {
	p.Status.Phase, p.Status.PodIP = corev1.PodRunning, a.next()
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

// pods are those that the templates of workloads would make, one of each, where the base
// has none of the workload. Pods among the objects that do not run yet begin to.
func (m *manifests) pods(base []mesh.Change) (out []mesh.Change, of map[object.Ref]template) {
	of = map[object.Ref]template{}
	taken := map[object.Ref]bool{}
	running := map[object.Ref]bool{} // workloads that have Pods
	for _, c := range base {
		if p, ok := c.Object.(*corev1.Pod); ok {
			taken[c.Ref] = true
			running[object.Ref{Kind: object.KindWorkload, Namespace: p.Namespace, Name: workload.OwnerOf(p).Name}] = true
		}
	}
	var a addresses
	for _, o := range m.objects {
		p, ok := o.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		taken[o.Ref] = true
		if p.Status.Phase == "" && p.Status.PodIP == "" && len(p.Status.PodIPs) == 0 {
			a.run(p)
		}
	}
	for _, t := range m.templates {
		ref := object.Ref{Kind: object.KindPod, Namespace: t.ref.Namespace, Name: t.ref.Name}
		if t.Pod == nil || t.Kind == "Pod" || taken[ref] || running[object.Ref{Kind: object.KindWorkload, Namespace: t.ref.Namespace, Name: t.ref.Name}] {
			continue
		}
		taken[ref], of[ref] = true, t
		p := &corev1.Pod{ObjectMeta: t.Pod.ObjectMeta, Spec: t.Pod.Spec}
		p.Name, p.Namespace = ref.Name, ref.Namespace
		p.OwnerReferences = []metav1.OwnerReference{{Kind: t.Kind, Name: t.ref.Name, Controller: new(true)}}
		a.run(p)
		out = append(out, mesh.Change{Ref: ref, Object: p})
	}
	return out, of
}

// given are the objects with those that are made of templates.
func given(objects []informers.Object, pods []mesh.Change) []informers.Object {
	out := slices.Clone(objects)
	for _, p := range pods {
		out = append(out, informers.Object{Change: p})
	}
	return out
}
