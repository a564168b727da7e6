package fields_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// outcome is what a control plane makes of a mesh.
type outcome struct {
	served   map[string]string // by proxy, type and name
	findings map[object.Finding]bool
	object   mesh.Change
	checked  bool
}

// check adds what the object is told by itself, as when somebody applies it.
func (o *outcome) check(t testing.TB) {
	if o.checked || o.object.Object == nil {
		return
	}
	o.checked = true
	r := check.Object(t.Context(), o.object, nil)
	for _, f := range append(r.Invalid, r.Warnings...) {
		o.findings[f] = true
	}
}

// plane is a control plane without a network, of a mesh in which one object varies.
type plane struct {
	rest    []mesh.Change
	clients []snapshot.Client

	// parse reads the object that varies; nil where it is not valid, and so not tried.
	parse func(t testing.TB, text []byte) (*mesh.Change, []object.Finding)

	store   *mesh.Store
	engine  *snapshot.Engine
	passes  chan *mesh.World
	views   map[string]*snapshot.View
	varying object.Ref
	settled int
}

// start runs the control plane, with the mesh but for the object.
func (p *plane) start(t *testing.T) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p.passes, p.views = make(chan *mesh.World, 1), map[string]*snapshot.View{}
	p.engine = snapshot.NewEngine(log, certificates(), nil)
	p.store = mesh.NewStore(log, func(w *mesh.World, d *mesh.Dirty) {
		p.engine.Update(w, d)
		p.passes <- w
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case <-done:
				return
			case <-p.passes:
			}
		}
	})
	p.store.Submit(p.rest)
	p.store.Synced()
	p.apply()
	for _, c := range p.clients {
		v, err := p.engine.Attach(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		p.views[c.NodeID] = v
	}
}

// apply makes changes, and returns the World when they show. A Secret that nobody names
// goes with them.
func (p *plane) apply(changes ...mesh.Change) *mesh.World {
	p.settled++
	name := fmt.Sprint("m", p.settled)
	p.store.Submit(append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindSecret, Namespace: "marker", Name: name}, Object: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "marker", Name: name}}}))
	for {
		if w := <-p.passes; w.Secret("marker", name) != nil {
			return w
		}
	}
}

// parseObject reads an object of Kubernetes.
func parseObject(t testing.TB, text []byte) (*mesh.Change, []object.Finding) {
	t.Helper()
	objects, findings, err := informers.ParseJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &objects[0].Change, append(findings, objects[0].Findings...)
}

// parseConfig reads a mesh configuration.
func parseConfig(_ testing.TB, text []byte) (*mesh.Change, []object.Finding) {
	if err := (&meshconfig.MeshConfig{}).UnmarshalJSON(text); err != nil {
		return nil, nil
	}
	return &mesh.Change{Ref: random.ConfigRef, Object: text}, nil
}

// of is the outcome with the object, written in JSON.
func (p *plane) of(t testing.TB, obj map[string]any) *outcome {
	t.Helper()
	read, findings := p.parse(t, encode(t, obj))
	if read == nil {
		return nil
	}
	out := &outcome{served: map[string]string{}, findings: map[object.Finding]bool{}}
	found := func(list ...object.Finding) {
		for _, f := range list {
			out.findings[f] = true
		}
	}
	found(findings...)
	var changes []mesh.Change
	if ref := read.Ref; p.varying != ref {
		changes, p.varying = append(changes, mesh.Change{Ref: p.varying}), ref
	}
	out.object = *read
	w := p.apply(append(changes, out.object)...)
	for _, c := range p.clients {
		stack := p.views[c.NodeID].Current()
		for kind := range snapshot.NumTypes {
			for r := range stack.All(kind) {
				out.served[fmt.Sprintf("%s %s %s", c.NodeID, kind, r.Name)] = string(r.Body())
			}
		}
		settings := w.ProxySettingsOf(c.Namespace, c.Labels)
		out.served[c.NodeID+" settings"] = string(encode(t, settings))
	}
	found(p.engine.Findings()...)
	out.served["managed"] = string(encode(t, w.GatewayAPI().ManagedGateways()))
	for _, c := range append(p.rest, out.object) { // what people read of objects of the Gateway API
		status, _ := w.GatewayAPI().GatewayStatus(c.Ref)
		parents, _, _ := w.GatewayAPI().RouteStatus(c.Ref)
		class, _ := w.GatewayAPI().GatewayClassStatus(c.Ref.Name)
		if text := encode(t, []any{status, parents, class}); c.Ref.Kind != object.KindGatewayClass || class != nil {
			out.served["status "+c.Ref.String()] = times.ReplaceAllString(string(text), "")
		}
	}
	return out
}

var times = regexp.MustCompile(`"lastTransitionTime":"[^"]*"`)

// same tells whether proxies are served the same.
func (o *outcome) same(x *outcome) bool { return maps.Equal(o.served, x.served) }

func certificates() *snapshot.Certificates {
	return &snapshot.Certificates{
		Acquire: func(snapshot.CertificateKey) (func(), error) { return func() {}, nil },
		Current: func(snapshot.CertificateKey) (chain, key, roots []byte, err error) {
			chain, key = random.Certificate()
			return chain, key, chain, nil
		},
	}
}
