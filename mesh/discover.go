package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// discovery keeps the objects of each namespace as they were delivered (of Pods
// what they serve with), so that those of a namespace can leave the mesh and
// come back when its labels or MeshConfig.discoverySelectors change.
type discovery struct {
	selectors []labels.Selector             // empty: every namespace is in the mesh
	objects   map[string]map[object.Ref]any // by namespace
	in        map[string]bool               // whether the mesh reads the namespace
}

func newDiscovery() discovery {
	return discovery{objects: map[string]map[object.Ref]any{}, in: map[string]bool{}}
}

// keep replaces an object; nil when it is gone. Of a namespace without objects
// nothing is kept.
func (d *discovery) keep(ref object.Ref, o any) {
	if o == nil {
		delete(d.objects[ref.Namespace], ref)
		if len(d.objects[ref.Namespace]) == 0 {
			delete(d.objects, ref.Namespace)
			delete(d.in, ref.Namespace)
		}
		return
	}
	if d.objects[ref.Namespace] == nil {
		d.objects[ref.Namespace] = map[object.Ref]any{}
	}
	d.objects[ref.Namespace][ref] = o
}

// discovered takes note of an object and tells whether it is part of the mesh.
// Objects without a namespace are, and those that are followed one by one:
// the mesh's own configuration and the Secrets that Gateways name.
func (b *builder) discovered(c Change) bool {
	ns := c.Ref.Namespace
	if ns == "" || c.Ref.Kind == object.KindSecret || c.Ref.Kind == object.KindConfigMap || c.Ref.Kind == object.KindMeshConfigFile {
		return true
	}
	in, known := b.discovery.in[ns]
	if !known {
		in = b.selected(ns)
		b.discovery.in[ns] = in
	}
	b.discovery.keep(c.Ref, c.Object)
	return in
}

// selected tells whether any of MeshConfig.discoverySelectors selects the
// namespace; without selectors all are.
func (b *builder) selected(ns string) bool {
	selectors := b.discovery.selectors
	if len(selectors) == 0 {
		return true
	}
	set := labels.Set{"kubernetes.io/metadata.name": ns} // as the API server sets it
	maps.Copy(set, b.world.spaces[ns])
	return slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(set) })
}

// rediscover takes the objects of a namespace in or out when what selects it
// has changed.
func (b *builder) rediscover(ns string) {
	was, known := b.discovery.in[ns]
	in := b.selected(ns)
	if !known || was == in {
		return
	}
	b.discovery.in[ns] = in
	objects := b.discovery.objects[ns]
	refs := slices.SortedFunc(maps.Keys(objects), func(x, y object.Ref) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
	})
	for _, r := range refs {
		c := Change{Ref: r}
		if in {
			c.Object = objects[r]
		}
		b.admit(c)
	}
}

// rediscoverAll takes over the selectors of a mesh configuration.
func (b *builder) rediscoverAll(c *Config) {
	var findings []object.Finding
	b.discovery.selectors, findings = discoverySelectors(c.Ref, c.DiscoverySelectors)
	b.foundAs(object.Ref{Kind: object.KindConfigMap, Name: meshConfigMap}, "discoverySelectors", findings)
	for _, ns := range slices.Sorted(maps.Keys(b.discovery.in)) {
		b.rediscover(ns)
	}
}

// discoverySelectors reads MeshConfig.discoverySelectors, of which a namespace
// has to match one. One that cannot be read matches nothing.
func discoverySelectors(ref object.Ref, specs []*meshconfig.LabelSelector) (out []labels.Selector, findings []object.Finding) {
	for i, spec := range specs {
		s := &metav1.LabelSelector{MatchLabels: spec.GetMatchLabels()}
		for _, e := range spec.GetMatchExpressions() {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: e.Key, Operator: metav1.LabelSelectorOperator(e.Operator), Values: e.Values})
		}
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("discoverySelectors[%d]", i), Code: object.CodeInvalid,
				Message: fmt.Sprintf("%v; the selector selects no namespace: correct it", err)})
			selector = labels.Nothing()
		}
		out = append(out, selector)
	}
	return out, findings
}
