package persist

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// check holds the invariants of the tree: order, heap, sizes.
func check[V any](t *testing.T, n *node[string, V]) {
	t.Helper()
	if n == nil {
		return
	}
	if n.size != 1+size(n.left)+size(n.right) {
		t.Fatalf("size of %q is %d", n.key, n.size)
	}
	for _, c := range []*node[string, V]{n.left, n.right} {
		if c != nil && above(c.priority, c.key, n) {
			t.Fatalf("%q stands below %q", c.key, n.key)
		}
		check(t, c)
	}
}

func sameShape[V comparable](a, b *node[string, V]) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.key == b.key && a.value == b.value && sameShape(a.left, b.left) && sameShape(a.right, b.right)
}

func fromPlain(plain map[string]int) Map[string, int] {
	return Sorted(func(yield func(string, int) bool) {
		for _, k := range slices.Sorted(maps.Keys(plain)) {
			if !yield(k, plain[k]) {
				return
			}
		}
	})
}

// plainDiff is what Diff must say, computed the slow way.
func plainDiff(a, b map[string]int) []string {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		va, inA := a[k]
		vb, inB := b[k]
		if inA != inB || va != vb {
			out = append(out, fmt.Sprint(k, va, vb, inA, inB))
		}
	}
	return out
}

func diffLines(a, b Map[string, int]) []string {
	var out []string
	Diff(a, b, func(x, y int) bool { return x == y }, func(c Change[string, int]) bool {
		out = append(out, fmt.Sprint(c.Key, c.Old, c.New, c.HadOld, c.HasNew))
		return true
	})
	return out
}

// run plays a program of bytes against a Map and a plain map and compares them
// in every way after each operation.
func run(t *testing.T, program []byte) {
	t.Helper()
	var m Map[string, int]
	plain := map[string]int{}
	type version struct {
		m     Map[string, int]
		plain map[string]int
	}
	versions := []version{{m, maps.Clone(plain)}}
	for i := 0; i+1 < len(program); i += 2 {
		key := fmt.Sprintf("k%03d", program[i+1])
		if program[i]%4 == 0 {
			m = m.Delete(key)
			delete(plain, key)
		} else {
			m = m.Set(key, int(program[i]))
			plain[key] = int(program[i])
		}
		if i%16 == 0 {
			versions = append(versions, version{m, maps.Clone(plain)})
		}
	}
	versions = append(versions, version{m, plain})
	for i, v := range versions {
		check(t, v.m.root)
		if v.m.Len() != len(v.plain) || !maps.Equal(maps.Collect(v.m.All()), v.plain) {
			t.Fatalf("version %d changed: %v, want %v", i, maps.Collect(v.m.All()), v.plain)
		}
		if !sameShape(v.m.root, fromPlain(v.plain).root) {
			t.Fatalf("version %d has another shape than the map built from its sorted keys", i)
		}
		w := versions[(i*7+3)%len(versions)]
		if got, want := diffLines(v.m, w.m), plainDiff(v.plain, w.plain); !slices.Equal(got, want) {
			t.Fatalf("diff %v, want %v", got, want)
		}
	}
	if !slices.IsSorted(collectKeys(m)) {
		t.Fatal("keys are not in order")
	}
}

func collectKeys(m Map[string, int]) []string {
	var keys []string
	for k := range m.All() {
		keys = append(keys, k)
	}
	return keys
}

func TestAgainstPlainMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		program := make([]byte, r.IntN(600))
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		run(t, program)
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 0, 2})
	f.Fuzz(run)
}

func TestFromAndPrefix(t *testing.T) {
	var m Map[string, int]
	for i, k := range []string{"80/a", "80/b", "8080/a", "80", "81/a", "9"} {
		m = m.Set(k, i)
	}
	var got []string
	for k := range Prefix(m, "80/") {
		got = append(got, k)
	}
	if strings.Join(got, " ") != "80/a 80/b" {
		t.Fatalf("got %v", got)
	}
	got = nil
	for k := range m.From("8080") {
		got = append(got, k)
		if k == "81/a" {
			break
		}
	}
	if strings.Join(got, " ") != "8080/a 81/a" {
		t.Fatalf("got %v", got)
	}
}

func TestSortedTakesKeysOutOfOrder(t *testing.T) {
	m := Sorted(func(yield func(string, int) bool) {
		_ = yield("b", 1) && yield("a", 2) && yield("b", 3) && yield("c", 4)
	})
	check(t, m.root)
	if !maps.Equal(maps.Collect(m.All()), map[string]int{"a": 2, "b": 3, "c": 4}) {
		t.Fatalf("got %v", maps.Collect(m.All()))
	}
}

// TestDiffSkipsShared counts comparisons: one change among many keys must not
// be found by looking at all of them.
func TestDiffSkipsShared(t *testing.T) {
	plain := map[string]int{}
	for i := range 10000 {
		plain[fmt.Sprintf("host-%05d", i)] = i
	}
	before := fromPlain(plain)
	for name, after := range map[string]Map[string, int]{
		"changed": before.Set("host-05000", -1),
		"added":   before.Set("host-05000a", -1),
		"removed": before.Delete("host-05000"),
	} {
		looked, found := 0, 0
		Diff(before, after, func(a, b int) bool { looked++; return a == b }, func(Change[string, int]) bool { found++; return true })
		if found != 1 || looked > 200 {
			t.Errorf("%s: %d changes found by %d comparisons", name, found, looked)
		}
	}
	if !before.Set("x", 1).Delete("y").Delete("x").Same(before) && before.Len() != 10000 {
		t.Error("deleting what was added does not give the same size")
	}
	if !before.Delete("none").Same(before) {
		t.Error("deleting nothing made another map")
	}
}

func TestDiffEndsEarly(t *testing.T) {
	m := fromPlain(map[string]int{"a": 1, "b": 2, "c": 3})
	visited := 0
	Diff(Map[string, int]{}, m, nil, func(Change[string, int]) bool { visited++; return false })
	if visited != 1 {
		t.Fatalf("visited %d", visited)
	}
}

func BenchmarkSet(b *testing.B) {
	plain := map[string]int{}
	for i := range 10000 {
		plain[fmt.Sprintf("host-%05d", i)] = i
	}
	m := fromPlain(plain)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_ = m.Set("host-05000", i)
	}
}

func BenchmarkDiffOneOf10000(b *testing.B) {
	plain := map[string]int{}
	for i := range 10000 {
		plain[fmt.Sprintf("host-%05d", i)] = i
	}
	m := fromPlain(plain)
	n := m.Set("host-05000", -1)
	b.ReportAllocs()
	for b.Loop() {
		Diff(m, n, nil, func(Change[string, int]) bool { return true })
	}
}

func BenchmarkSorted10000(b *testing.B) {
	plain := map[string]int{}
	for i := range 10000 {
		plain[fmt.Sprintf("host-%05d", i)] = i
	}
	keys := slices.Sorted(maps.Keys(plain))
	b.ReportAllocs()
	for b.Loop() {
		Sorted(func(yield func(string, int) bool) {
			for _, k := range keys {
				if !yield(k, 1) {
					return
				}
			}
		})
	}
}
