package snapshot

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// forgetful is a mesh that learns, with the Services s0 to s9, and two sidecars of one workload.
type forgetful struct {
	t     *testing.T
	e     *Engine
	views []*View
	at    time.Time
}

func newForgetful(t *testing.T, sidecars int) *forgetful {
	t.Helper()
	out := make(chan *mesh.World, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	store := mesh.NewStore(log, func(w *mesh.World, _ *mesh.Dirty) { out <- w })
	go func() { _ = store.Run(t.Context()) }()
	changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: {learnedScope: '*', learnedFor: 1h}")}}
	for i := range 10 {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("s", i)}}
		o.Spec.ClusterIP, o.Spec.Ports = fmt.Sprint("10.96.0.", i+1), []corev1.ServicePort{{Name: "http", Port: 80}}
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: o.Name}, Object: o})
	}
	for i := range sidecars {
		o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("shop-5d4f8b6c7d-", i), OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "shop-5d4f8b6c7d", Controller: new(true)}}}}
		o.Status.PodIP = fmt.Sprint("10.8.0.", i+1)
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: o.Name}, Object: o})
	}
	store.Submit(changes)
	store.Synced()
	f := &forgetful{t: t, e: NewEngine(log, nil, nil)}
	f.e.Update(<-out, &mesh.Dirty{All: true})
	for i := range sidecars {
		v, err := f.e.Attach(t.Context(), &Client{NodeID: fmt.Sprint(i), Role: RoleSidecar, Namespace: "a", Pod: fmt.Sprint("shop-5d4f8b6c7d-", i), IP: fmt.Sprint("10.8.0.", i+1),
			UserAgent: "envoy", Version: Version{Major: learningMajor, Minor: learningMinor}, VHDS: true, Delta: true})
		if err != nil {
			t.Fatal(err)
		}
		f.views = append(f.views, v)
	}
	f.at = time.Now()
	return f
}

// wait lets time pass, and says which sidecar is the canary then; -1: none.
func (f *forgetful) wait(d time.Duration) int {
	f.at = f.at.Add(d)
	f.e.forgetUnused(f.at)
	for a := range f.e.proxies {
		if a.learned.set.canary == a {
			return slices.Index(f.views, a.view)
		}
	}
	return -1
}

// ask has a sidecar ask at the time that it is, recall has it list names that an earlier
// stream has answered.
func (f *forgetful) ask(sidecar int, names ...string)    { f.take(sidecar, names, false) }
func (f *forgetful) recall(sidecar int, names ...string) { f.take(sidecar, names, true) }

func (f *forgetful) take(sidecar int, names []string, listed bool) {
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	for a := range f.e.proxies {
		if a.view == f.views[sidecar] {
			f.e.learning.ask(a.learned, names, listed, f.at)
			f.e.tellLearned(a.learned.set)
		}
	}
}

// holds are the services that a sidecar holds; all of them are "all".
func (f *forgetful) holds(sidecar int) (out []string) {
	s := f.views[sidecar].Current()
	for i := range 10 {
		if s.Get(VirtualHost, fmt.Sprintf("80/s%d.a.svc.cluster.local", i)) != nil {
			out = append(out, fmt.Sprint("s", i))
		}
	}
	if len(out) == 10 {
		return []string{"all"}
	}
	return out
}

func (f *forgetful) want(what string, sidecar int, want ...string) {
	f.t.Helper()
	if got := f.holds(sidecar); !slices.Equal(got, want) {
		f.t.Errorf("%s: sidecar %d holds %v, want %v", what, sidecar, got, want)
	}
}

func (f *forgetful) config(sidecar int) string {
	return f.views[sidecar].Current().Get(RouteConfig, "80").Version
}

// TestUnusedHostsAreForgotten: one sidecar of a workload forgets all, and what it does not ask
// for again in the time goes from the others, with a route configuration by which they
// forget that they were answered.
func TestUnusedHostsAreForgotten(t *testing.T) {
	f := newForgetful(t, 2)
	f.ask(0, "80/s1", "80/s2", "80/nobody")
	if f.wait(time.Minute) >= 0 {
		t.Error("a sidecar forgets what was just asked for")
	}
	first := f.config(0)
	canary := f.wait(time.Hour)
	other := 1 - canary
	f.want("an hour later", canary)
	f.want("an hour later", other, "s1", "s2")
	if f.config(canary) == first || f.config(other) != first {
		t.Error("the canary is to forget what it was answered, and the other is not")
	}
	f.at = f.at.Add(time.Minute)
	f.ask(canary, "80/s2", "80/s3")
	f.want("asked again", canary, "s2", "s3")
	f.want("asked again", other, "s1", "s2", "s3")
	of := f.config(canary)
	next := f.wait(time.Hour)
	if next != other {
		t.Fatalf("the next canary is sidecar %d, want the other one", next)
	}
	f.want("two hours later", canary, "s2", "s3")
	f.want("two hours later", other)
	if f.config(canary) != of || f.config(other) == first || f.config(other) == of {
		t.Error("the canary of before forgets once more, or the next one does not")
	}
	if n := f.e.Forgotten(); n != 2 { // s1 and the name of nobody
		t.Errorf("%d names were forgotten, want 2", n)
	}

	// Without it another one takes its place, for the rest of the time.
	f.ask(other, "80/s2")
	f.views[other].Close()
	if f.wait(time.Minute) != canary {
		t.Error("nobody is in the place of a canary that left")
	}
	f.want("the canary has left", canary, "s2")
}

// TestOnlySidecarForgets: the canary of a workload with one sidecar is that one each time.
func TestOnlySidecarForgets(t *testing.T) {
	f := newForgetful(t, 1)
	f.ask(0, "80/s1", "80/s2")
	seen := map[string]bool{f.config(0): true}
	for range 3 {
		f.wait(time.Hour + time.Minute)
		f.want("it has forgotten all", 0)
		f.ask(0, "80/s1")
		f.want("it uses one", 0, "s1")
		if seen[f.config(0)] {
			t.Error("it was to forget what it was answered since the last time")
		}
		seen[f.config(0)] = true
	}
}

// TestTooMuchIsForgotten: a workload that asked for too many names holds everything until one
// of its sidecars has shown that it does not need to.
func TestTooMuchIsForgotten(t *testing.T) {
	f := newForgetful(t, 2)
	var names []string
	for i := range MostAsked + 1 {
		names = append(names, fmt.Sprint("80/invented-", i))
	}
	f.ask(0, names...)
	f.want("too many names", 1, "all")
	canary := f.wait(time.Hour)
	f.want("the canary", canary)
	f.want("the other", 1-canary, "all")
	f.ask(canary, names...)
	f.want("too many names again", canary, "all")
	canary = f.wait(time.Hour)
	f.want("it does not need all, as far as is known", canary)
	f.want("it still holds all", 1-canary, "all")
	f.ask(canary, "80/s4")
	f.wait(time.Hour)
	f.want("it has learned anew", canary, "s4")
	f.want("it is the canary now", 1-canary)
}

// TestWhatIsListedIsNotUsed: sidecars that connect anew list all that they were answered. Hosts
// are forgotten nevertheless, and a control plane that knows nothing learns them.
func TestWhatIsListedIsNotUsed(t *testing.T) {
	f := newForgetful(t, 2)
	f.ask(0, "80/s1", "80/s2")
	canary := f.wait(time.Hour + time.Minute)
	other := 1 - canary
	f.at = f.at.Add(time.Minute)
	f.recall(other, "80/s1", "80/s2", "80/s3")
	f.want("listed", canary)
	f.want("listed", other, "s1", "s2", "s3")
	f.ask(canary, "80/s1")
	f.wait(time.Hour)
	f.want("an hour later", canary, "s1")

	fresh := newForgetful(t, 2)
	fresh.recall(0, "80/s1")
	fresh.wait(time.Minute)
	fresh.want("after a restart", 1, "s1")
}

// TestTheNameAtTheBoundIsAnswered: the canary's question that finds no room has it hold everything.
func TestTheNameAtTheBoundIsAnswered(t *testing.T) {
	f := newForgetful(t, 2)
	var names []string
	for i := range MostAsked {
		names = append(names, fmt.Sprint("80/invented-", i))
	}
	f.ask(0, names...)
	canary := f.wait(time.Hour + time.Minute)
	f.ask(canary, "80/s4")
	f.want("no room", canary, "all")
}
