package check

import (
	"errors"
	"fmt"
	"io"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Implied reads manifests as "fairway check" does, and gives what would be there with them
// applied to the base (which may be empty): their objects, one running Pod of each workload
// that has none, with a proxy unless the template says otherwise, and an address for each
// Service. Of two objects of one name the later counts, as with kubectl apply. What of a
// manifest cannot be read is an error with its place. Assumed are the Pods whose addresses
// stand for those that they will get.
func Implied(base []mesh.Change, names []string, stdin io.Reader) (out []mesh.Change, assumed map[object.Ref]bool, err error) {
	texts, err := read(names, stdin)
	if err != nil {
		return nil, nil, err
	}
	m := readManifests(texts)
	for _, e := range m.found.Entries {
		if e.Code == object.CodeUnreadable {
			return nil, nil, fmt.Errorf("%s:%d: %s", e.File, e.Line, e.Message)
		}
	}
	if len(m.objects) == 0 && len(names) > 0 {
		return nil, nil, errors.New("the manifests have no object that the control plane reads")
	}
	waiting := map[object.Ref]bool{} // Pods that do not run yet
	assumed = map[object.Ref]bool{}
	for _, o := range m.objects {
		if p, ok := o.Object.(*corev1.Pod); ok && p.Status.Phase == "" {
			waiting[o.Ref] = true
			assumed[o.Ref] = p.Status.PodIP == "" && len(p.Status.PodIPs) == 0
		}
	}
	out, _ = m.pods(base)
	for _, c := range out {
		if p, ok := c.Object.(*corev1.Pod); ok {
			injected(p)
			assumed[c.Ref] = true
		}
	}
	age(base, m.objects)
	address(base, m.objects)
	for _, o := range m.objects {
		if p, ok := o.Object.(*corev1.Pod); ok && waiting[o.Ref] {
			injected(p)
		}
		if o.Object != nil {
			out = append(out, o.Change)
		}
	}
	return out, assumed, nil
}

// address gives Services what an API server would: the address that the base has for them,
// or one that nobody has.
func address(base []mesh.Change, objects []informers.Object) {
	known := map[object.Ref]corev1.ServiceSpec{}
	for _, c := range base {
		if s, ok := c.Object.(*corev1.Service); ok {
			known[c.Ref] = s.Spec
		}
	}
	a := addresses{last: 1 << 20} // after those of Pods
	for _, o := range objects {
		s, ok := o.Object.(*corev1.Service)
		if !ok || s.Spec.ClusterIP != "" || len(s.Spec.ClusterIPs) > 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		if s.Spec.ClusterIP, s.Spec.ClusterIPs = known[o.Ref].ClusterIP, known[o.Ref].ClusterIPs; s.Spec.ClusterIP == "" {
			s.Spec.ClusterIP = a.next()
		}
	}
}

// injected gives a Pod the label by which the mesh knows that it has a proxy, unless it
// says that it wants none.
func injected(p *corev1.Pod) {
	const inject, mode = "sidecar.istio.io/inject", "security.istio.io/tlsMode"
	if p.Spec.HostNetwork || p.Labels[inject] == "false" || p.Annotations[inject] == "false" || p.Labels[mode] != "" {
		return
	}
	labels := map[string]string{mode: "istio"}
	maps.Copy(labels, p.Labels)
	p.Labels = labels
}
