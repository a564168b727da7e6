package check

import (
	"cmp"
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/parallel"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Set checks objects together, as if they were added to those of the base
// (which may be empty): it translates the whole for all proxies that it implies, as
// the control plane would. Each Result is that of the object at the same place. Others
// are findings about objects that are not among the given, such as a Secret that does
// not exist; those that the base has without the given objects are left out.
func Set(base []mesh.Change, objects []informers.Object) (results []Result, others []object.Finding) {
	results, others, _ = set(base, objects)
	return results, others
}

// set is Set, with the world of the objects.
func set(base []mesh.Change, objects []informers.Object) (results []Result, others []object.Finding, world *mesh.World) {
	all := slices.Clone(base)
	age(base, objects)
	given := map[object.Ref]bool{}
	for _, o := range objects {
		if o.Object != nil && !given[o.Ref] { // of several of one name the first counts
			given[o.Ref] = true
			all = append(all, o.Change)
		}
	}
	world = mesh.Build(all)
	alone := byThemselves(objects, world) // while the whole is translated
	before := map[object.Finding]bool{}
	if len(base) > 0 {
		for _, f := range survey(mesh.Build(base)) {
			before[f] = true
		}
	}
	found := map[object.Ref][]object.Finding{}
	for _, f := range survey(world) {
		if given[f.Object] {
			found[f.Object] = append(found[f.Object], f)
		} else if !before[f] {
			others = append(others, f)
		}
	}
	results = make([]Result, len(objects))
	for i, of := range <-alone {
		results[i].set(objects[i], of, found[objects[i].Ref])
	}
	return results, others, world
}

// byThemselves gives what there is to say of each object by itself and of the names in it.
func byThemselves(objects []informers.Object, world *mesh.World) <-chan []Result {
	out := make(chan []Result, 1)
	go func() {
		names := world.Names()
		results := make([]Result, len(objects))
		parallel.Each(len(objects), func(i int) {
			if objects[i].Object != nil {
				results[i] = checkObject(context.Background(), objects[i].Change, names, world.Config)
			}
		})
		out <- results
	}()
	return out
}

// survey is what the control plane would say of the world to all proxies that it implies.
func survey(w *mesh.World) []object.Finding { return snapshot.Survey(w, w.ImpliedProxies()) }

// set is what there is to say of one of several objects: of how it is written, by itself,
// and what the control plane would say that was found.
func (r *Result) set(o informers.Object, of Result, found []object.Finding) {
	r.add(o.Findings...)
	if o.Object == nil {
		r.bound()
		return
	}
	// What follows from other objects refuses none.
	r.add(of.Invalid...)
	for _, f := range found {
		if _, known := r.known[f]; !known {
			r.known[f] = struct{}{}
			r.Warnings = append(r.Warnings, f)
		}
	}
	told := slices.Concat(r.Invalid, r.Warnings)
	for _, f := range of.Warnings { // a name that was looked up may be known to be missing already
		if !slices.ContainsFunc(told, func(x object.Finding) bool { return alike(x, f) }) {
			r.add(f)
		}
	}
	r.bound()
	for _, l := range [][]object.Finding{r.Invalid, r.Warnings} {
		slices.SortStableFunc(l, func(a, b object.Finding) int { return cmp.Compare(a.Field, b.Field) })
	}
}

// alike tells whether two findings of one object say the same of it: the one may name the
// field, and the other an element of it.
func alike(a, b object.Finding) bool {
	within := func(a, b string) bool { return b != "" && strings.HasPrefix(a, b) }
	return a.Code == b.Code && a.Winner == b.Winner && (a.Field == b.Field || within(a.Field, b.Field) || within(b.Field, a.Field))
}

// age lets objects that do not say how old they are be as old as what they
// replace, or new: the older of two wins.
func age(base []mesh.Change, objects []informers.Object) {
	created := map[object.Ref]metav1.Time{}
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
