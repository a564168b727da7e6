package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestRootsOfManyNamespacesTakeTurns: a large delegate is merged into the roots of many
// namespaces one pass after the other, and nobody else's change waits for more than one.
func TestRootsOfManyNamespacesTakeTurns(t *testing.T) {
	const namespaces = 6
	leaf := func(version int) []Change {
		var rules []string
		for i := range 4000 {
			rules = append(rules, fmt.Sprintf("{match: [{uri: {prefix: /%d}}], directResponse: {status: %d}}", i, 200+version))
		}
		return rulesOf(t, "metadata: {name: leaf, namespace: evil}\nspec: {exportTo: ['*'], http: ["+strings.Join(rules, ", ")+"]}")
	}
	small := func(version int) []Change {
		return rulesOf(t, "metadata: {name: small, namespace: shop}\nspec: {hosts: [s.example], http: [{delegate: {name: own}}]}",
			fmt.Sprintf("metadata: {name: own, namespace: shop}\nspec: {http: [{directResponse: {status: %d}}]}", 200+version))
	}
	var roots []Change
	for i := range namespaces {
		roots = append(roots, rulesOf(t, fmt.Sprintf("metadata: {name: root, namespace: ns-%d}\nspec: {hosts: [h%[1]d.example], http: [{delegate: {name: leaf, namespace: evil}}]}", i))...)
	}
	b := newBuilder()
	b.apply(slices.Concat(leaf(0), roots, small(0)))
	w, _ := b.finish()
	status := func(name string) int {
		v := routeOf(w, name)
		if v == nil || len(v.Spec.Http) == 0 {
			t.Fatalf("%s has no rules", name)
		}
		return int(v.Spec.Http[0].GetDirectResponse().GetStatus()) - 200
	}
	merged := func() (n int) {
		for i := range namespaces {
			n += status(fmt.Sprintf("ns-%d/root", i))
		}
		return n
	}
	if merged() != 0 || status("shop/small") != 0 || !b.due().IsZero() {
		t.Fatal("the first World lacks something")
	}
	b.apply(slices.Concat(leaf(1), small(1)))
	for pass := 1; pass <= namespaces; pass++ {
		if pass > 1 && b.due().IsZero() {
			t.Fatalf("after pass %d nothing is due", pass-1)
		}
		if pass == 3 { // a root that waits changes, and keeps its turn
			b.apply(rulesOf(t, "metadata: {name: root, namespace: ns-2}\nspec: {hosts: [h2.example, more.example], http: [{delegate: {name: leaf, namespace: evil}}]}"))
		}
		if w, _ = b.finish(); merged() != pass || status("shop/small") != 1 {
			t.Fatalf("pass %d has merged %d roots, and the small one at version %d", pass, merged(), status("shop/small"))
		}
		waits := b.waiting()
		for i := range namespaces {
			name := fmt.Sprintf("ns-%d", i)
			if said := waits(object.Ref{Kind: object.KindVirtualService, Namespace: name, Name: "root"}); said != (status(name+"/root") == 0) {
				t.Errorf("after pass %d the root of %s is said to wait: %v", pass, name, said)
			}
		}
	}
	if !b.due().IsZero() || len(b.delegated.order) > 0 {
		t.Errorf("roots wait still: %v", b.delegated.order)
	}
	b.apply(leaf(0))
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "leaf"}}})
	if w, _ = b.finish(); !b.due().IsZero() {
		t.Error("roots without a delegate wait for turns")
	}
}
