package snapshot

import (
	"runtime"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// counted counts how often a resource is made.
type counted struct {
	times *int
	make  func() *Resource
}

func (c *counted) resource() *Resource {
	*c.times++
	return c.make()
}

// TestLean: a lean resource gives the bytes that the whole one has, makes them
// again only when nobody holds them any more.
func TestLean(t *testing.T) {
	made := 0
	build := &counted{&made, func() *Resource {
		r, err := NewResource(Cluster, "c", &clusterv3.Cluster{Name: "c", AltStatName: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}}
	whole := build.resource()
	r := whole.without(build)
	if r == whole || r.entry != nil || !r.Same(whole) {
		t.Fatalf("%d bytes are kept", len(r.entry))
	}
	if &r.Entry()[0] != &whole.entry[0] || made != 1 {
		t.Errorf("made %d times although someone has it", made)
	}
	entry, bare, body := string(whole.Entry()), string(whole.Bare()), string(whole.Body())
	for range 3 {
		runtime.GC()
	}
	if string(r.Entry()) != entry || string(r.Bare()) != bare || string(r.Body()) != body || made < 2 {
		t.Errorf("made %d times, and not the same", made)
	}
}
