package informers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func servedVirtualService(t *testing.T, version, resourceVersion, host, more string) *item {
	t.Helper()
	i := &item{}
	text := fmt.Sprintf(`{"apiVersion":"networking.istio.io/%s","kind":"VirtualService","metadata":{"name":"v","namespace":"shop","resourceVersion":%q,
		"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","istio.io/a":"b"},"managedFields":[{"manager":"kubectl"}]},"spec":{"hosts":[%q]}%s}`, version, resourceVersion, host, more)
	must(t, json.Unmarshal([]byte(text), i))
	return i
}

func TestStoreHandsOnWhatIsNew(t *testing.T) {
	out := newOutbox()
	s := newStore(kindOf[(&kind{group: groupNetworking, name: "VirtualService"}).groupKind()], out, func(string, []object.Finding) {})
	deliver := func(what string, want int, f func() error) []mesh.Change {
		t.Helper()
		must(t, f())
		changes := out.take()
		if len(changes) != want {
			t.Errorf("%s: %d changes, want %d: %v", what, len(changes), want, changes)
		}
		return changes
	}
	c := deliver("new", 1, func() error { return s.Add(servedVirtualService(t, "v1", "1", "a", "")) })
	vs := c[0].Object.(*networkingv1.VirtualService)
	if len(vs.Annotations) != 1 || vs.ManagedFields != nil || vs.ResourceVersion != "" || vs.Kind != "" {
		t.Errorf("not trimmed: %+v", vs.ObjectMeta)
	}
	status := `,"status":{"conditions":[{"type":"Accepted","status":"True"}]}`
	again := servedVirtualService(t, "v1", "2", "a", status)
	deliver("a status", 0, func() error { return s.Update(again) })
	if again.value != nil {
		t.Error("an object was read of which only the status is new")
	}
	deliver("another version of the same", 0, func() error { return s.Update(servedVirtualService(t, "v1beta1", "2", "a", status)) })
	deliver("another spec", 1, func() error { return s.Update(servedVirtualService(t, "v1", "3", "b", status)) })
	deliver("the same in a list", 0, func() error { return s.Replace([]any{servedVirtualService(t, "v1", "9", "b", "")}, "9") })
	deliver("another in a list", 1, func() error { return s.Replace([]any{servedVirtualService(t, "v1", "10", "c", "")}, "10") })
	if c := deliver("not in a list", 1, func() error { return s.Replace(nil, "11") }); c[0].Object != nil {
		t.Errorf("not in the list and still there: %v", c)
	}
	deliver("gone once more", 0, func() error { return s.Delete(servedVirtualService(t, "v1", "12", "c", "")) })
	deliver("again", 1, func() error { return s.Add(servedVirtualService(t, "v1", "13", "c", "")) })
	deliver("what was so before", 0, func() error { return s.Update(servedVirtualService(t, "v1", "12", "b", "")) })
	deliver("a deletion from before it was made", 0, func() error { return s.Delete(servedVirtualService(t, "v1", "12", "c", "")) })
	if c := deliver("deleted", 1, func() error { return s.Delete(servedVirtualService(t, "v1", "14", "c", "")) }); c[0].Object != nil {
		t.Errorf("deleted and still there: %v", c)
	}
	deliver("what was so before it was deleted", 0, func() error { return s.Update(servedVirtualService(t, "v1", "13", "c", "")) })
	deliver("versions that begin anew with a list", 0, func() error { return s.Replace(nil, "2") })
	deliver("what comes after that", 1, func() error { return s.Add(servedVirtualService(t, "v1", "3", "c", "")) })
	deliver("the same in a list of before", 0, func() error { return s.Replace([]any{servedVirtualService(t, "v1", "2", "c", "")}, "2") })
	for what, foreign := range map[string]func() error{
		"another kind":       func() error { return s.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "v"}}) },
		"one without name":   func() error { return s.Add(&item{kind: s.kind}) },
		"another custom one": func() error { return s.Add(&item{ObjectMeta: metav1.ObjectMeta{Name: "v"}}) },
		"a list of others":   func() error { return s.Replace([]any{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "v"}}}, "4") },
	} {
		if foreign() == nil || len(out.take()) > 0 {
			t.Errorf("%s is taken in", what)
		}
	}
}

// TestStoreKeepsFindings writes a status to an object that cannot be read.
func TestStoreKeepsFindings(t *testing.T) {
	said := map[string]int{}
	s := newStore(kindOf[(&kind{group: groupNetworking, name: "VirtualService"}).groupKind()], newOutbox(), func(of string, findings []object.Finding) { said[of] = len(findings) })
	bad := func(version, more string) *item {
		i := servedVirtualService(t, "v1", version, "a", more)
		must(t, json.Unmarshal(bytes.Replace(i.js, []byte(`["a"]`), []byte(`7`), 1), i))
		return i
	}
	must(t, s.Add(bad("1", "")))
	must(t, s.Update(bad("2", `,"status":{"conditions":[]}`)))
	if len(said) != 1 || said["VirtualService shop/v"] != 1 {
		t.Errorf("said %v", said)
	}
	must(t, s.Update(servedVirtualService(t, "v1", "3", "a", "")))
	if said["VirtualService shop/v"] != 0 {
		t.Errorf("it was corrected: said %v", said)
	}
}

// TestOutboxKeepsTheLast puts several changes of an object in before they are taken.
func TestOutboxKeepsTheLast(t *testing.T) {
	out := newOutbox()
	a, b := object.Ref{Kind: object.KindPod, Name: "a"}, object.Ref{Kind: object.KindPod, Name: "b"}
	out.put(mesh.Change{Ref: a, Object: 1}, mesh.Change{Ref: b, Object: 2})
	out.put(mesh.Change{Ref: a})
	var said []string
	for _, c := range out.take() {
		said = append(said, fmt.Sprint(c.Ref.Name, c.Object))
	}
	if got := strings.Join(said, " "); got != "a<nil> b2" {
		t.Errorf("taken: %s", got)
	}
	if rest := out.take(); len(rest) != 0 {
		t.Errorf("taken twice: %v", rest)
	}
}

// TestSecretsNeverShow reads a broken Secret: what is said about it must not
// hold what it holds.
func TestSecretsNeverShow(t *testing.T) {
	const key = "c2VjcmV0LWtleQ"
	f := follow(t, map[string]string{"x.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.key: " + key + ", tls.crt: [" + key + "]}\n",
		"y.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s2}\ndata: {tls.key: " + key + "}\n"})
	said := f.said()
	if len(said) != 2 {
		t.Errorf("said %q", said)
	}
	for _, s := range said {
		if strings.Contains(s, key) || strings.Contains(s, "secret-key") {
			t.Errorf("a key shows in %q", s)
		}
	}
}

// TestListsWithOneBadObject: such a list changes nothing, and what it had is taken in with
// the next one.
func TestListsWithOneBadObject(t *testing.T) {
	out := newOutbox()
	s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], out, func(string, []object.Finding) {})
	pod := func(name, version, node string) any {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name, ResourceVersion: version}, Spec: corev1.PodSpec{NodeName: node}}
	}
	must(t, s.Replace([]any{pod("a", "1", "one")}, "1"))
	out.take()
	for what, bad := range map[string]any{"nameless": &corev1.Pod{}, "of another kind": &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", ResourceVersion: "3"}}, "without a version": pod("c", "", "")} {
		if err := s.Replace([]any{pod("a", "2", "two"), pod("b", "3", ""), bad}, "3"); err == nil || len(out.take()) > 0 {
			t.Errorf("one that is %s: error %v, or something is taken in", what, err)
		}
	}
	must(t, s.Replace([]any{pod("a", "2", "two"), pod("b", "3", "")}, "3"))
	if c := out.take(); len(c) != 2 {
		t.Errorf("the next list brings %d changes, want 2: %v", len(c), c)
	}
}

// TestVersionsTellWhatIsOld has a watch send an object as it was before, without a version
// and in the version of now: neither is taken in, and of the latter, which may be the
// truth, the next comparison has everything read anew.
func TestVersionsTellWhatIsOld(t *testing.T) {
	pod := func(version, node string) any {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "v", ResourceVersion: version}, Spec: corev1.PodSpec{NodeName: node}}
	}
	rule := func(version, host string) any { return servedVirtualService(t, "v1", version, host, "") }
	for name, x := range map[string]struct {
		kind *kind
		made func(version, says string) any
	}{
		"built in": {kindOf[(&kind{name: "Pod"}).groupKind()], pod},
		"custom":   {kindOf[(&kind{group: groupNetworking, name: "VirtualService"}).groupKind()], rule},
	} {
		out := newOutbox()
		s := newStore(x.kind, out, func(string, []object.Finding) {})
		must(t, s.Add(x.made("7", "now")))
		ref := out.take()[0].Ref
		apiServer := func() *page { return &page{version: 9, objects: map[object.Ref]uint64{ref: 7}} }
		for _, version := range []string{"", "x", "-1"} {
			if s.Update(x.made(version, "before")) == nil || len(out.take()) > 0 || len(s.differs(apiServer())) > 0 {
				t.Errorf("%s: the version %q is taken in", name, version)
			}
			if s.Delete(x.made(version, "now")) == nil || len(out.take()) > 0 {
				t.Errorf("%s: deleted in the version %q", name, version)
			}
		}
		must(t, s.Update(x.made("7", "now")))
		if len(out.take()) > 0 || len(s.differs(apiServer())) > 0 {
			t.Errorf("%s: what is told twice is news, or is to be read anew", name)
		}
		must(t, s.Update(x.made("7", "before")))
		if len(out.take()) > 0 || len(s.differs(apiServer())) != 1 {
			t.Errorf("%s: what the same version said otherwise is taken in, or not compared", name)
		}
		must(t, s.Replace([]any{x.made("7", "before")}, "9"))
		if len(out.take()) != 1 || len(s.differs(apiServer())) > 0 {
			t.Errorf("%s: the list that settles it is not taken in", name)
		}
	}
}
