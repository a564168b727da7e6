package check

import (
	"cmp"
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
)

// Set checks objects together, as if they were added to those of the base
// (which may be empty). Each Result is that of the object at the same place.
func Set(base []mesh.Change, objects []informers.Object) []Result {
	all := slices.Clone(base)
	age(base, objects)
	for _, o := range objects {
		if o.Object != nil {
			all = append(all, o.Change)
		}
	}
	world := mesh.Build(all)
	found := map[mesh.Ref][]mesh.Finding{}
	for f := range world.Findings() {
		found[f.Object] = append(found[f.Object], f)
	}
	out := make([]Result, len(objects))
	for i, o := range objects {
		out[i].add(o.Findings...)
		if o.Object == nil {
			out[i].bound()
			continue
		}
		r := Object(context.Background(), o.Change, world)
		out[i].add(r.Invalid...)
		out[i].add(r.Warnings...)
		// What follows from other objects refuses none.
		for _, f := range found[o.Ref] {
			if _, known := out[i].known[f]; !known {
				out[i].Warnings = append(out[i].Warnings, f)
			}
		}
		out[i].bound()
		for _, l := range [][]mesh.Finding{out[i].Invalid, out[i].Warnings} {
			slices.SortStableFunc(l, func(a, b mesh.Finding) int { return cmp.Compare(a.Field, b.Field) })
		}
	}
	return out
}

// age lets objects that do not say how old they are be as old as what they
// replace, or new: the older of two wins.
func age(base []mesh.Change, objects []informers.Object) {
	created := map[mesh.Ref]metav1.Time{}
	for _, c := range base {
		if m, ok := c.Object.(metav1.Object); ok {
			created[c.Ref] = m.GetCreationTimestamp()
		}
	}
	now := metav1.Now()
	for _, o := range objects {
		m, ok := o.Object.(metav1.Object)
		if !ok || !m.GetCreationTimestamp().Time.IsZero() {
			continue
		}
		if at, ok := created[o.Ref]; ok {
			m.SetCreationTimestamp(at)
		} else {
			m.SetCreationTimestamp(now)
		}
	}
}
