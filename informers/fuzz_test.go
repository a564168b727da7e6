package informers

import (
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// FuzzFile reads any bytes as a file between two others. It must not panic, not
// touch what the file of precedence says, and leave everything as it was once
// its content is taken back.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "---", "a: b: c", "{", "\xef\xbb\xbf---\n%YAML 1.2\n---\na: 1\n...\n", "&a [*a]", "a: &a [x]\nb: *a", "kind: List\napiVersion: v1\nitems: [null, 1, {kind: List, apiVersion: v1, items: []}]",
		service("a"), service("a") + "---\n" + service("z"), virtualService("v", "v1", "  http: [{route: 7}]\n"), virtualService("v", "v1", "  http: [{timeout: 1e3, match: [{headers: {a: {exact: y}}}]}]\n"),
		"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\ndata: {a: '!'}\n", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {istio.io/a: b}, creationTimestamp: x}\n",
		"apiVersion: a/b/c\nkind: X\n", "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s}\nspec: null\n",
		"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: s}\nspec: {rules: [{timeouts: {request: x}}]}\nstatus: 3\n",
		"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: s}\nspec: {accessLogging: [{filter: {expression: 1}}], metrics: [{overrides: [{tagOverrides: {a: {operation: X}}}]}]}\n",
	} {
		f.Add([]byte(seed))
	}
	p := newParser()
	f.Fuzz(func(t *testing.T, text []byte) {
		first := (&file{path: "a.yaml"}).update(p, []byte(service("a")+"---\n"+virtualService("v", "v1", "")), stamp{})
		last := (&file{path: "z.yaml"}).update(p, []byte(service("z")), stamp{})
		c := newClaims()
		have := map[object.Ref]uint64{}
		pass := func(old, next *file) {
			touched := map[object.Ref]struct{}{}
			c.replace(old, next, touched)
			for _, change := range c.settle(touched, time.Now()) {
				if change.Object == nil {
					delete(have, change.Ref)
					continue
				}
				o := change.Object.(kubeObject)
				if o.GetName() != change.Ref.Name || o.GetNamespace() != change.Ref.Namespace || o.GetCreationTimestamp().Time.IsZero() {
					t.Fatalf("%s is %s/%s of %s", change.Ref, o.GetNamespace(), o.GetName(), o.GetCreationTimestamp())
				}
				have[change.Ref] = c.delivered[change.Ref]
			}
		}
		pass(nil, first)
		pass(nil, last)
		before := map[object.Ref]uint64{}
		for r, print := range have {
			before[r] = print
		}
		any := (&file{path: "m.yaml"}).update(p, text, stamp{})
		pass(nil, any)
		for _, w := range first.objects {
			if have[w.ref] != before[w.ref] {
				t.Fatalf("%s changed", w.ref)
			}
		}
		if _, ok := have[last.objects[0].ref]; !ok {
			t.Fatal("the last file's object is gone")
		}
		for _, d := range c.duplicates(any) {
			if d.Object.Name == "" {
				t.Fatalf("a duplicate without a name: %v", d)
			}
		}
		broken := any.update(p, append([]byte("a: b: c\n---\n"), text...), stamp{})
		if any.complete && len(broken.objects) != len(any.objects) {
			t.Fatal("a broken version of the file lost objects")
		}
		pass(any, nil)
		if len(have) != len(before) {
			t.Fatalf("left behind: %v, before %v", have, before)
		}
		for r, print := range before {
			if have[r] != print {
				t.Fatalf("%s is not as before", r)
			}
		}
	})
}
