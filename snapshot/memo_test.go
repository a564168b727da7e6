package snapshot

import (
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestMemo: what a layer uses is built once, and what none uses is forgotten
// with its key.
func TestMemo(t *testing.T) {
	m := NewMemo()
	builds := 0
	get := func(u *uses, key string) *Resource {
		return m.get(u, key, func() (*Resource, []object.Finding) { builds++; return host(t, "80/"+key, 1), nil }).resource
	}
	var one, two uses
	a := get(&one, "a")
	if get(&two, "a") != a || builds != 1 || m.bytes != len(a.Entry()) {
		t.Errorf("built %d times, %d bytes", builds, m.bytes)
	}
	m.release(one)
	m.sweep()
	if get(&two, "a") != a || builds != 1 {
		t.Error("what is in use was forgotten")
	}
	m.release(two)
	var three uses
	get(&three, "a")
	m.sweep()
	if len(m.known) != 1 || builds != 1 {
		t.Error("what another layer of the same pass uses was forgotten")
	}
	m.release(three)
	m.sweep()
	if len(m.known) != 0 || m.bytes != 0 || len(m.unused) != 0 {
		t.Errorf("%d entries of %d bytes are kept that nobody uses", len(m.known), m.bytes)
	}
}
