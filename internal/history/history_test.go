package history

import (
	"fmt"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

func rule(name string, generation int64) mesh.Change {
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: name},
		Object: &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Generation: generation}}, Origin: mesh.Origin{Manager: "kubectl\x1b[2J", Version: "7"}}
}

func pod(name string) mesh.Change {
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: &corev1.Pod{}}
}

// TestRecorder: what people did is told before what followed from it, and is not pushed out
// by what happens all the time.
func TestRecorder(t *testing.T) {
	var r Recorder
	at := time.Unix(1000, 0)
	pass := func(proxies int) *snapshot.Pass {
		at = at.Add(time.Second)
		return &snapshot.Pass{At: at, Proxies: proxies}
	}
	r.Passed([]mesh.Change{pod("p"), rule("web", 3)}, pass(0))
	r.Passed([]mesh.Change{{Ref: rule("web", 0).Ref}}, pass(2))
	r.Passed([]mesh.Change{pod("p")}, pass(0)) // which is not worth it
	for i := range 2 * MaxEntries {
		r.Passed([]mesh.Change{pod(fmt.Sprint("p", i))}, pass(1))
	}
	all := r.Entries(time.Time{})
	if len(all) != 2+MaxEntries {
		t.Fatalf("%d entries", len(all))
	}
	first := all[0].Objects
	if len(first) != 2 || first[0].Generation != 3 || first[0].By.Version != "7" || first[0].By.Manager != "kubectl [2J" || first[1].Kind != object.KindPod {
		t.Errorf("%+v", first)
	}
	if !all[1].Objects[0].Deleted || all[1].Pass.Proxies != 2 {
		t.Errorf("%+v", all[1])
	}
	if last := all[len(all)-1]; last.Objects[0].Name != fmt.Sprint("p", 2*MaxEntries-1) {
		t.Errorf("the last is %+v", last.Objects)
	}
	if some := r.Entries(at); len(some) != 1 {
		t.Errorf("%d since the last", len(some))
	}
	r.Found(nil, nil)
	r.Found([]object.Finding{{Object: rule("web", 1).Ref, Message: strings.Repeat("x", 2*maxText)}}, []object.Finding{{Object: rule("api", 1).Ref}})
	if some := r.Entries(time.Now().Add(-time.Minute)); len(some) != 1 || len(some[0].Came[0].Message) > maxText+4 || len(some[0].Went) != 1 {
		t.Errorf("%+v", some)
	}
}

// TestText: neither commands of terminals nor what turns text around is kept.
func TestText(t *testing.T) {
	for given, want := range map[string]string{
		"a\x1b[2Jb": "a [2Jb", "gpj\u202etxt.exe": "gpj txt.exe", "\u2066a\u2069": " a ", "a\u200eb\u061cc": "a b c", "\u2028": " ", "zürich 東京": "zürich 東京", "x\xff": "x\ufffd",
	} {
		if got := text(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

// TestBounds: neither many things at once nor long names take more than there is room for.
func TestBounds(t *testing.T) {
	var r Recorder
	var many []mesh.Change
	var found []object.Finding
	for i := range 5000 {
		c := rule(fmt.Sprint(strings.Repeat("n", 250), i), 1)
		many, found = append(many, c), append(found, object.Finding{Object: c.Ref, Message: strings.Repeat("m", 5000)})
	}
	for range 2 * MaxEntries {
		p := &snapshot.Pass{At: time.Now()}
		for i := range 50 {
			p.Resources = append(p.Resources, snapshot.Touched{Key: snapshot.Key{Name: fmt.Sprint(strings.Repeat("r", 400), i)}})
		}
		r.Passed(many, p)
	}
	for range 300 {
		r.Found(found, found)
	}
	for name, one := range map[string]*ring{"rules": &r.rules, "findings": &r.findings} {
		n := 0
		for _, k := range one.entries {
			if k.Pass != nil || k.Came != nil {
				n += k.size()
			}
		}
		if n != one.bytes || n > MaxBytes || n < MaxBytes/2 || len(one.entries) > 2*MaxEntries+1 {
			t.Errorf("%s: %d bytes, counted %d, in %d entries", name, n, one.bytes, len(one.entries))
		}
	}
	e := r.Entries(time.Time{})[0]
	if len(e.Objects) != MaxNamed || e.More != 5000-MaxNamed {
		t.Errorf("%d objects and %d more", len(e.Objects), e.More)
	}
}

// TestEqualListsAreOne: passes that concern the same workloads have one list of them, which
// is counted once.
func TestEqualListsAreOne(t *testing.T) {
	var r Recorder
	for i := range MaxEntries {
		var workloads []object.Ref
		for w := range 64 {
			workloads = append(workloads, object.Ref{Namespace: "a", Name: fmt.Sprint("w", w, "-", i%2)})
		}
		r.Passed([]mesh.Change{rule("web", int64(i))}, &snapshot.Pass{At: time.Unix(int64(i), 0), Proxies: 64, Workloads: workloads})
	}
	all := r.Entries(time.Time{})
	if len(all) != MaxEntries {
		t.Fatalf("%d entries of %d are kept", len(all), MaxEntries)
	}
	lists := map[*object.Ref]bool{}
	for i, e := range all {
		if got := e.Pass.Workloads; len(got) != 64 || got[3].Name != fmt.Sprint("w3-", i%2) || cap(got) != 64 {
			t.Fatalf("entry %d: %v", i, got)
		}
		lists[&e.Pass.Workloads[0]] = true
	}
	if len(lists) != 2 {
		t.Errorf("%d lists, of two that differ", len(lists))
	}
}

// TestListsCountWhileTheyAreKept: entries of one sort that share lists with those of another,
// or outlive the entry that had the list first, keep no more than there is room for.
func TestListsCountWhileTheyAreKept(t *testing.T) {
	var r Recorder
	held := func(one *ring) (n int) {
		seen := map[*object.Ref]bool{}
		for _, k := range one.entries[one.first:] {
			n += k.size()
			if list := k.Pass.Workloads; len(list) > 0 && !seen[&list[0]] {
				seen[&list[0]] = true
				n += sizeOfWorkloads(list)
			}
		}
		return n
	}
	workloads := func(i int) (out []object.Ref) {
		for w := range 64 {
			out = append(out, object.Ref{Namespace: strings.Repeat("n", 60), Name: fmt.Sprint(strings.Repeat("w", 200), w, "-", i)})
		}
		return out
	}
	for i := range 3 * MaxEntries {
		for range 2 { // of each list the second entry outlives the first
			r.Passed([]mesh.Change{pod("p")}, &snapshot.Pass{At: time.Unix(int64(i), 0), Proxies: 64, Workloads: workloads(i)})
		}
		r.Passed([]mesh.Change{rule("web", int64(i))}, &snapshot.Pass{At: time.Unix(int64(i), 0), Proxies: 64, Workloads: workloads(i)})
		for name, one := range map[string]*ring{"rules": &r.rules, "churn": &r.churn} {
			if i%50 == 49 {
				if n := held(one); n != one.bytes || n > MaxBytes {
					t.Fatalf("%s: %d bytes are held, %d counted, after %d", name, n, one.bytes, i)
				}
			}
		}
	}
	if n := len(r.rules.workloads.uses); n > len(r.rules.entries) {
		t.Errorf("%d lists are counted in %d entries", n, len(r.rules.entries))
	}
}
