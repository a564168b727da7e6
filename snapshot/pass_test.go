package snapshot_test

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// worldOf is a world of so many services in ten namespaces.
func worldOf(t *testing.T, services int) *mesh.World {
	t.Helper()
	out := make(chan *mesh.World, 1)
	store := mesh.NewStore(slog.New(slog.NewTextHandler(io.Discard, nil)), func(w *mesh.World, _ *mesh.Dirty) { out <- w })
	go func() { _ = store.Run(t.Context()) }()
	store.Submit([]mesh.Change{routerPod()})
	for i := range services {
		m := metav1.ObjectMeta{Namespace: fmt.Sprint("ns", i%10), Name: fmt.Sprint("s", i)}
		store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindService, Namespace: m.Namespace, Name: m.Name}, Object: &corev1.Service{ObjectMeta: m, Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", i>>8, i&255), Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}}})
	}
	store.Synced()
	return <-out
}

func sidecarOf(namespace, pod string) *snapshot.Client {
	return &snapshot.Client{NodeID: namespace + "/" + pod, Role: snapshot.RoleSidecar, Namespace: namespace, Pod: pod, IP: "10.1.0.1"}
}

// TestNobodyWaitsForAPass stops a pass in its midst: proxies come and go
// meanwhile, and people can look.
func TestNobodyWaitsForAPass(t *testing.T) {
	w := worldOf(t, 20)
	var stop atomic.Bool
	within, resume := make(chan struct{}), make(chan struct{})
	e := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, func([]object.Ref) {
		if stop.CompareAndSwap(true, false) {
			close(within)
			<-resume
		}
	})
	e.Update(w, &mesh.Dirty{All: true})
	if _, err := e.Attach(t.Context(), sidecarOf("ns1", "old")); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	ended := make(chan struct{})
	go func() { defer close(ended); e.Update(w, &mesh.Dirty{All: true}) }()
	<-within
	free := make(chan error, 1)
	go func() {
		v, err := e.Attach(t.Context(), sidecarOf("ns1", "new"))
		if err == nil && v.Current().Len(snapshot.Cluster) == 0 {
			err = fmt.Errorf("a proxy that came in a pass sees nothing")
		}
		if err == nil {
			_, err = e.Dump("new.ns1", false)
		}
		e.Findings()
		e.Renew(nil, true)
		if v != nil {
			v.Close()
		}
		free <- err
	}()
	select {
	case err := <-free:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("who came in a pass waits for its end")
	}
	close(resume)
	<-ended
}

// TestNewScopeInAPass has a proxy of a namespace of which none is connected come
// in a long pass: it waits for one layer, not for all.
func TestNewScopeInAPass(t *testing.T) {
	w := worldOf(t, 1500)
	e := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, nil)
	e.Update(w, &mesh.Dirty{All: true})
	for i := range 60 {
		if _, err := e.Attach(t.Context(), sidecarOf(fmt.Sprint("tenant-", i), "p")); err != nil {
			t.Fatal(err)
		}
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		close(begun)
		for range 3 {
			e.Update(w, &mesh.Dirty{All: true})
		}
	}()
	<-begun
	for i := range 3 {
		v, err := e.Attach(t.Context(), sidecarOf(fmt.Sprint("newcomer-", i), "p"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := v.Current().Len(snapshot.Cluster), 1500; got < want {
			t.Errorf("a newcomer sees %d clusters of %d", got, want)
		}
		v.Close()
	}
	select {
	case <-ended:
		t.Error("newcomers waited for the pass")
	default:
	}
	<-ended
}
