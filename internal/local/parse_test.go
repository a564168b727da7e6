//go:build linux

package local

import (
	"net/netip"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	objects, err := parse([]byte(`# a comment alone
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}}
- {apiVersion: v1, kind: Namespace, metadata: {name: b, namespace: nonsense}}
---
---
{"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "c", "namespace": "d"}, "spec": {"replicas": 3}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range objects {
		k := keyOf(u)
		got = append(got, k.Group+" "+k.String())
	}
	if want := []string{" Service default/a", " Namespace b", "apps Deployment d/c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, ok := objects[2].Object["spec"].(map[string]any)["replicas"].(int64); !ok || n != 3 {
		t.Error("a whole number did not stay whole")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: x}}]"))
	f.Add([]byte("---\n{}\n---\na: ["))
	f.Add([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {strategy: {rollingUpdate: {maxSurge: x%}}, template: {spec: {containers: [{}]}}}"))
	f.Fuzz(func(t *testing.T, manifests []byte) {
		objects, err := parse(manifests)
		if err != nil {
			return
		}
		for _, u := range objects {
			if err := check(u); err == nil && u.GetName() == "" {
				t.Errorf("an object without a name was accepted: %v", u.Object)
			}
		}
	})
}

func TestAddresses(t *testing.T) {
	a := newAddresses()
	a.pod = 253
	seen := map[netip.Addr]bool{}
	for range 10 {
		v4, v6, err := a.nextPod(func(a netip.Addr) bool { return a == netip.MustParseAddr("10.244.1.1") })
		if err != nil {
			t.Fatal(err)
		}
		if seen[v4] || !podNetwork.Contains(v4) || !podNetwork6.Contains(v6) || v4 == routerAddress {
			t.Errorf("got %s and %s", v4, v6)
		}
		seen[v4] = true
	}
	if !seen[netip.MustParseAddr("10.244.1.2")] || seen[netip.MustParseAddr("10.244.1.1")] {
		t.Errorf("over the end of a byte, and over one in use: %v", seen)
	}
	for range 1000 {
		if b := newAddresses(); !b.nextBalancer().IsLoopback() {
			t.Error("a load balancer outside of loopback")
		}
	}
}
