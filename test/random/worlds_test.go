package random_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// clients look at every mesh: from each namespace, and as gateways.
var clients = []snapshot.Client{
	{Role: snapshot.RoleSidecar, Namespace: "a", Pod: "p0", IP: "10.0.1.20", Labels: map[string]string{"app": "web", "version": "v1"}},
	{Role: snapshot.RoleSidecar, Namespace: "b", Pod: "p1", IP: "fd00::8", Labels: map[string]string{"app": "api"}},
	{Role: snapshot.RoleSidecar, Namespace: "calm", Pod: "c0", IP: "10.0.4.20", Labels: map[string]string{"app": "calm"}},
	{Role: snapshot.RoleRouter, Namespace: "a", Pod: "gw", IP: "10.0.1.9", Labels: map[string]string{"istio": "ingressgateway"}},
	{Role: snapshot.RoleRouter, Namespace: "calm", Pod: "cgw", IP: "10.0.4.9", Labels: map[string]string{"gateway": "calm"}},
}

// calm is a part of the mesh that random objects do not name.
const calm = `
apiVersion: v1
kind: Service
metadata: {name: calm, namespace: calm}
spec: {clusterIP: 10.99.0.1, selector: {app: calm}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c0, namespace: calm, labels: {app: calm, version: v1, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: calm, containers: [{name: a}]}
status: {phase: Running, podIP: 10.0.4.20, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: calm, namespace: calm}
spec: {host: calm, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: calm, namespace: calm}
spec:
  hosts: [calm, calm.example.net]
  gateways: [mesh, calm]
  http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: calm, subset: v1}}]}, {route: [{destination: {host: calm}}], retries: {attempts: 2}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: calm}
spec: {hosts: [outside.example.net], addresses: [10.98.0.1], resolution: STATIC, ports: [{number: 9001, name: tcp, protocol: TCP}, {number: 80, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.99}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: calm, namespace: calm}
spec: {selector: {gateway: calm}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [calm.example.net]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: calm, namespace: calm}
spec: {rules: [{to: [{operation: {paths: [/x, /y]}}]}]}
`

// read are the objects of YAML.
func read(t testing.TB, text string) map[object.Ref]any {
	t.Helper()
	objects, _, err := informers.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := map[object.Ref]any{}
	for _, o := range objects {
		if o.Object != nil {
			out[o.Ref] = o.Object
		}
	}
	return out
}

// run is one mesh under random changes.
type run struct {
	t       testing.TB
	source  *random.Source
	clients []snapshot.Client
	plane   *plane
	// kinds of new objects, besides changes of those that there are.
	kinds []object.Kind
	// secrets tells that one has changed: gateways serve the last good one.
	secrets bool
}

// randomMesh is a mesh of random objects beside the calm ones.
func randomMesh(t testing.TB, seed uint64, bytes []byte) *run {
	r := &run{t: t, clients: clients, source: &random.Source{Choices: random.NewChoices(seed, bytes), Words: random.DefaultWords()}}
	r.kinds = slices.Concat(random.Kinds, random.KubernetesKinds, random.GatewayKinds, []object.Kind{object.KindService, object.KindPod, object.KindVirtualService, object.KindDestinationRule, object.KindGateway, object.KindServiceEntry})
	objects := read(t, calm)
	if r.source.One(4) {
		c := r.source.Object(random.ConfigRef)
		objects[c.Ref] = c.Object
	}
	for _, kind := range []object.Kind{object.KindService, object.KindService, object.KindPod, object.KindPod, object.KindServiceEntry, object.KindGateway, object.KindVirtualService, object.KindDestinationRule, object.KindSecret} {
		c := r.source.Change(kind)
		objects[c.Ref] = c.Object
	}
	r.plane = started(t, r.clients, objects)
	mustBeValid(t, r.plane.contents())
	return r
}

// next is a random change of the mesh as it is.
func (r *run) next() mesh.Change {
	s := r.source
	var mine []object.Ref
	for ref := range r.plane.objects {
		if ref.Namespace != "calm" {
			mine = append(mine, ref)
		}
	}
	slices.SortFunc(mine, func(a, b object.Ref) int { return strings.Compare(a.String(), b.String()) })
	if len(mine) > 0 && s.One(2) {
		ref := mine[s.N(len(mine))]
		if s.One(5) && !r.connected(ref) {
			return mesh.Change{Ref: ref}
		}
		return s.Other(mesh.Change{Ref: ref, Object: r.plane.objects[ref]})
	}
	if s.One(20) {
		return s.Object(random.ConfigRef)
	}
	return s.Change(r.kinds[s.N(len(r.kinds))])
}

// connected tells whether the Pod is that of a client: while it goes away a
// proxy keeps what it had, which one that comes anew could not get.
func (r *run) connected(ref object.Ref) bool {
	return ref.Kind == object.KindPod && slices.ContainsFunc(r.clients, func(c snapshot.Client) bool { return c.Namespace == ref.Namespace && c.Pod == ref.Name })
}

// step makes one change and holds what must be true of any.
func (r *run) step(c mesh.Change) {
	t, p := r.t, r.plane
	old := p.objects[c.Ref]
	check.Object(context.Background(), c, p.store.World())
	before := p.contents()
	concerned := concernOf(p.objects, c.Ref, old, c.Object)
	p.apply(t, c)
	after := p.contents()
	mustBeValid(t, after)
	for _, client := range r.clients {
		for _, k := range before.unlike(after)[client.Namespace+"/"+client.Pod] {
			if !concerned.excuses(client, k) {
				id := client.Namespace + "/" + client.Pod
				was, is := apart(text(before[id][k]), text(after[id][k]))
				t.Errorf("proxy %s: %s %s, which the change does not concern, was\n%s\nis\n%s", id, k.Type, k.Name, was, is)
			}
		}
	}
	r.secrets = r.secrets || c.Ref.Kind == object.KindSecret
	fresh := started(t, r.clients, p.objects)
	if d := r.differences(after, fresh.contents()); d != "" {
		t.Errorf("from nothing these are others: %s", d)
	}
	if r.source.One(2) {
		p.apply(t, mesh.Change{Ref: c.Ref, Object: old})
		if d := r.differences(p.contents(), before); d != "" {
			t.Errorf("taken back, these are others than before: %s", d)
		}
	}
	if t.Failed() {
		t.Fatalf("after %s\nwas %s\nis %s\nin %v", c.Ref, show(old), show(c.Object), names(p.objects))
	}
}

// differences are those of two contents that should be the same; empty when
// they are, or need not be.
func (r *run) differences(a, b contents) string {
	if r.remembers() {
		return ""
	}
	for _, c := range r.clients {
		if c.Role == snapshot.RoleRouter && r.secrets {
			delete(a, c.Namespace+"/"+c.Pod)
		}
	}
	return differences(a, b)
}

// remembers tells whether something keeps in force what was before, so that the
// same objects do not mean the same mesh: a configuration that cannot be read,
// a Pod that has ended while its proxy still runs.
func (r *run) remembers() bool {
	w := r.plane.store.World()
	for f := range w.Findings() {
		if f.Object.Kind == object.KindMeshConfigFile || f.Object.Kind == object.KindConfigMap {
			return true
		}
	}
	return slices.ContainsFunc(r.clients, func(c snapshot.Client) bool {
		pod := object.Ref{Kind: object.KindPod, Namespace: c.Namespace, Name: c.Pod}
		return r.plane.objects[pod] != nil && w.Workload(c.Namespace, c.Pod) == nil
	})
}

func names(objects map[object.Ref]any) (out []string) {
	for ref := range objects {
		out = append(out, ref.String())
	}
	slices.Sort(out)
	return out
}

func show(o any) string {
	if text, ok := o.([]byte); ok {
		return string(text)
	}
	if m := random.Spec(o); m != nil {
		text, err := protojson.Marshal(m.Interface())
		return fmt.Sprint(string(text), " ", err)
	}
	text, _ := yaml.Marshal(o)
	return string(text)
}

// FuzzMesh holds any mesh of random objects, under random changes, to what must
// be true of all.
func FuzzMesh(f *testing.F) {
	for seed := range uint64(seeds(6)) {
		f.Add(seed, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte) {
		r := randomMesh(t, seed, bytes)
		for range 12 {
			r.step(r.next())
		}
	})
}

// seeds is how many seeds a test tries: n, or what FAIRWAY_SEEDS says.
func seeds(n int) int {
	if s, err := strconv.Atoi(os.Getenv("FAIRWAY_SEEDS")); err == nil {
		return s
	}
	return n
}
