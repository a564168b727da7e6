package random_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// plane is a control plane without a network: what it is told, and what proxies
// of it hold.
type plane struct {
	store   *mesh.Store
	engine  *snapshot.Engine
	passes  chan struct{}
	shown   atomic.Pointer[mesh.World] // what the engine has taken in
	settled int
	views   map[string]*snapshot.View
	objects map[object.Ref]any
}

// certificates are those of workloads; one serves all.
func certificates() *snapshot.Certificates {
	return &snapshot.Certificates{
		Acquire: func(snapshot.CertificateKey) (func(), error) { return func() {}, nil },
		Current: func(snapshot.CertificateKey) (chain, key, roots []byte, err error) {
			chain, key = random.Certificate()
			return chain, key, chain, nil
		},
	}
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p := &plane{passes: make(chan struct{}, 100), views: map[string]*snapshot.View{}, objects: map[object.Ref]any{}}
	p.engine = snapshot.NewEngine(log, certificates(), nil)
	p.store = mesh.NewStore(log, func(w *mesh.World, d *mesh.Dirty) {
		p.engine.Update(w, d)
		p.shown.Store(w)
		p.passes <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// started is a plane with objects and all clients.
func started(t testing.TB, clients []snapshot.Client, objects map[object.Ref]any) *plane {
	t.Helper()
	p := newPlane(t)
	for ref, o := range objects {
		p.objects[ref] = o
		p.store.Submit([]mesh.Change{{Ref: ref, Object: o}})
	}
	p.store.Synced()
	p.settle(t)
	for _, c := range clients {
		c.NodeID = c.Namespace + "/" + c.Pod
		v, err := p.engine.Attach(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		p.views[c.NodeID] = v
	}
	return p
}

// apply makes changes and waits until they show.
func (p *plane) apply(t testing.TB, changes ...mesh.Change) {
	t.Helper()
	for _, c := range changes {
		if c.Object == nil {
			delete(p.objects, c.Ref)
		} else {
			p.objects[c.Ref] = c.Object
		}
	}
	p.store.Submit(changes)
	p.settle(t)
}

// settle waits until a marker object, submitted last, has gone through a pass.
func (p *plane) settle(t testing.TB) {
	t.Helper()
	p.settled++
	ref := object.Ref{Kind: object.KindSecret, Namespace: "marker", Name: fmt.Sprint("m", p.settled)}
	p.store.Submit([]mesh.Change{{Ref: ref, Object: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}}}})
	for deadline := time.After(60 * time.Second); ; {
		if w := p.shown.Load(); w != nil && w.Secret(ref.Namespace, ref.Name) != nil {
			break
		}
		select {
		case <-p.passes:
		case <-deadline:
			t.Fatal("the store did not make a pass")
		}
	}
}

// contents are what each proxy holds, by type and name. Secrets are left out: the last
// good one stays, so that they follow from what was before.
type contents map[string]map[snapshot.Key]*snapshot.Resource

func (p *plane) contents() contents {
	out := contents{}
	for id, v := range p.views {
		of := map[snapshot.Key]*snapshot.Resource{}
		stack := v.Current()
		for t := range snapshot.NumTypes {
			if t == snapshot.Secret {
				continue
			}
			for r := range stack.All(t) {
				of[snapshot.Key{Type: t, Name: r.Name}] = r
			}
		}
		out[id] = of
	}
	return out
}

// unlike are the names on which two contents differ, by proxy.
func (c contents) unlike(o contents) map[string][]snapshot.Key {
	out := map[string][]snapshot.Key{}
	for id := range c {
		for k, r := range c[id] {
			if !r.Same(o[id][k]) {
				out[id] = append(out[id], k)
			}
		}
		for k := range o[id] {
			if c[id][k] == nil {
				out[id] = append(out[id], k)
			}
		}
	}
	return out
}

// differences shows a few of them.
func differences(a, b contents) string {
	var out strings.Builder
	for id, keys := range a.unlike(b) {
		fmt.Fprintf(&out, "\n%s: %v", id, keys)
		for _, k := range keys[:min(2, len(keys))] {
			is, not := apart(text(a[id][k]), text(b[id][k]))
			fmt.Fprintf(&out, "\n%s %s is\n%s\nnot\n%s", k.Type, k.Name, is, not)
		}
	}
	return out.String()
}

// apart are two texts from shortly before where they part.
func apart(a, b string) (string, string) {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	cut := func(s string) string { return fmt.Sprintf("%.700s", s[max(0, min(n, len(s))-150):]) }
	return cut(a), cut(b)
}

// text is a resource in the JSON form of protobuf.
func text(r *snapshot.Resource) string {
	if r == nil {
		return "(not there)"
	}
	of, err := protoregistry.GlobalTypes.FindMessageByURL(r.Type.TypeURL())
	if err != nil {
		return err.Error()
	}
	m := of.New().Interface()
	if err := proto.Unmarshal(r.Body(), m); err != nil {
		return err.Error()
	}
	return protojson.Format(m)
}
