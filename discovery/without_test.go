package discovery

import (
	"maps"
	"runtime"
	"strconv"
	"testing"
)

// TestEmptiedMapsAreSmall: what is left of a map that was large holds no memory of it.
func TestEmptiedMapsAreSmall(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	m := map[string]struct{}{}
	for i := range 100_000 {
		m[strconv.Itoa(i)] = struct{}{}
	}
	full := heap() - before
	want := map[string]struct{}{}
	for i := range 100_000 {
		if i >= 99_995 {
			want[strconv.Itoa(i)] = struct{}{}
			continue
		}
		m = without(m, strconv.Itoa(i))
	}
	if left := int64(heap()) - int64(before); left > int64(full/10) {
		t.Errorf("%d bytes are held for 5 keys, after %d for 100,000", left, full)
	}
	if !maps.Equal(m, want) {
		t.Errorf("left are %v", m)
	}
	for k := range want {
		m = without(m, k)
	}
	if m != nil || without(m, "a") != nil {
		t.Errorf("an empty map is kept: %v", m)
	}
}
