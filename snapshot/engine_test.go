package snapshot_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// plane is a store with an engine, fed by hand.
type plane struct {
	store  *mesh.Store
	engine *snapshot.Engine
	passes chan struct{}
	views  map[string]*snapshot.View
	shown  atomic.Pointer[mesh.World] // the newest that proxies see
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	return startPlane(t, false)
}

// newHoldingPlane makes one that holds routes back.
func newHoldingPlane(t *testing.T) *plane {
	t.Helper()
	return startPlane(t, true)
}

func startPlane(t *testing.T, holds bool) *plane {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p := &plane{passes: make(chan struct{}, 100), views: map[string]*snapshot.View{}}
	p.engine = snapshot.NewEngine(log, nil, nil)
	p.store = mesh.NewStore(log, func(w *mesh.World, d *mesh.Dirty) {
		p.engine.Update(w, d)
		p.shown.Store(w)
		select {
		case p.passes <- struct{}{}:
		default:
		}
	})
	p.store.HoldRoutes = holds
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// settle waits until marker objects, submitted last, have gone through a pass: one of each
// namespace, since namespaces take turns.
func (p *plane) settle(t *testing.T, n int) {
	t.Helper()
	var markers []mesh.Change
	for _, ns := range []string{"a", "b", "c", "istio-system", "marker"} {
		o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprint("m", n)}}
		markers = append(markers, mesh.Change{Ref: object.Ref{Kind: object.KindSecret, Namespace: ns, Name: o.Name}, Object: o})
	}
	p.store.Submit(markers)
	missing := func(c mesh.Change) bool { return p.shown.Load().Secret(c.Ref.Namespace, c.Ref.Name) == nil }
	for deadline := time.After(20 * time.Second); p.shown.Load() == nil || slices.ContainsFunc(markers, missing); {
		select {
		case <-p.passes:
		case <-deadline:
			t.Fatal("the store did not make a pass")
		}
	}
}

var clients = []snapshot.Client{
	{Role: snapshot.RoleSidecar, Namespace: "a", Pod: "p0", IP: "10.0.0.1"},
	{Role: snapshot.RoleSidecar, Namespace: "a", Pod: "p1", IP: "10.0.0.2"},
	{Role: snapshot.RoleSidecar, Namespace: "b", Pod: "p2", IP: "10.0.1.3"},
	{Role: snapshot.RoleSidecar, Namespace: "c", Pod: "stranger", IP: "10.9.9.9"},
	{Role: snapshot.RoleRouter, Namespace: "a", Pod: "gw", IP: "10.0.0.9", Labels: map[string]string{"istio": "ingressgateway"}},
}

// routerPod is the Pod of the router among the clients.
func routerPod() mesh.Change {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "gw", Labels: map[string]string{"istio": "ingressgateway", gatewayapi.GatewayNameLabel: "web", "app": "web"}}}
	o.Status.PodIP = "10.0.0.9"
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "gw"}, Object: o}
}

func (p *plane) attach(t *testing.T) {
	t.Helper()
	for _, c := range clients {
		p.enter(t, c)
	}
}

// enter connects one client.
func (p *plane) enter(t *testing.T, c snapshot.Client) {
	t.Helper()
	c.NodeID = c.Namespace + "/" + c.Pod
	v, err := p.engine.Attach(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	p.views[c.NodeID] = v
}

// away ends the streams of some clients, and returns what brings them back.
func (p *plane) away(t *testing.T, r *rand.Rand) (back func()) {
	t.Helper()
	var gone []snapshot.Client
	for _, c := range clients {
		if r.IntN(4) == 0 {
			p.views[c.Namespace+"/"+c.Pod].Close()
			gone = append(gone, c)
		}
	}
	return func() {
		t.Helper()
		for _, c := range gone {
			p.enter(t, c)
		}
	}
}

// content is what a proxy is to hold, by type and name.
func content(s snapshot.Stack) map[string]string {
	out := map[string]string{}
	for typ := range snapshot.NumTypes {
		n, sum := 0, uint64(0)
		for r := range s.All(typ) {
			sum += snapshot.HashOf(xxhash.Sum64String(r.Name), xxhash.Sum64String(r.Version))
			out[typ.String()+" "+r.Name] = r.Version
			if s.Get(typ, r.Name) != r {
				out["lookup of "+r.Name] = "differs"
			}
			n++
		}
		if n != s.Len(typ) {
			out["length of "+typ.String()] = fmt.Sprint(n, s.Len(typ))
		}
		if sum != s.Sum(typ) {
			out["sum of "+typ.String()] = fmt.Sprint(sum, s.Sum(typ))
		}
	}
	return out
}

// TestIncrementalEqualsFromNothing holds what every kind says of itself: after
// any sequence of changes, what proxies see is what they would see if the
// control plane had started with the objects as they are now.
func TestIncrementalEqualsFromNothing(t *testing.T) {
	seeds := 12
	if s, err := strconv.Atoi(os.Getenv("FAIRWAY_SEEDS")); err == nil {
		seeds = s
	}
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			router := routerPod()
			objects := map[object.Ref]any{router.Ref: router.Object}
			p := newPlane(t)
			p.store.Submit([]mesh.Change{router})
			p.store.Synced()
			p.settle(t, 0)
			p.attach(t)
			for step := range 60 {
				var changes []mesh.Change
				for range 1 + r.IntN(4) {
					c := randomChange(r, objects)
					changes = append(changes, c)
					if c.Object == nil {
						delete(objects, c.Ref)
					} else {
						objects[c.Ref] = c.Object
					}
				}
				before := map[string]map[string]string{}
				held := map[string]snapshot.Stack{}
				for id, v := range p.views {
					before[id], held[id] = content(v.Current()), v.Current()
				}
				back := p.away(t, r)
				p.store.Submit(changes)
				p.settle(t, step+1)
				back()
				fresh := newPlane(t)
				for ref, o := range objects {
					fresh.store.Submit([]mesh.Change{{Ref: ref, Object: o}})
				}
				fresh.store.Synced()
				fresh.settle(t, 0)
				fresh.attach(t)
				for id, v := range p.views {
					compare(t, step, id, changes, content(v.Current()), content(fresh.views[id].Current()))
					if !maps.Equal(content(held[id]), before[id]) {
						t.Errorf("step %d, proxy %s: what was published before has changed", step, id)
					}
					compareDiff(t, id, held[id], v.Current())
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

func compare(t *testing.T, step int, id string, changes []mesh.Change, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("step %d, proxy %s after %v: %s is %q, from nothing it is %q", step, id, refs(changes), k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("step %d, proxy %s after %v: %s %q should not be there", step, id, refs(changes), k, v)
		}
	}
}

// compareDiff holds a difference of stacks to what is different.
func compareDiff(t *testing.T, id string, old, now snapshot.Stack) {
	t.Helper()
	for typ := range snapshot.NumTypes {
		held := map[string]*snapshot.Resource{}
		for r := range old.All(typ) {
			held[r.Name] = r
		}
		for _, d := range old.Diff(now, typ) {
			if d.New == nil {
				delete(held, d.Name)
			} else {
				held[d.Name] = d.New
			}
		}
		for r := range now.All(typ) {
			if !r.Same(held[r.Name]) {
				t.Errorf("proxy %s: the difference lacks %s %s", id, typ, r.Name)
			}
			delete(held, r.Name)
		}
		for name := range held {
			t.Errorf("proxy %s: the difference does not remove %s %s", id, typ, name)
		}
	}
}

func refs(changes []mesh.Change) string {
	var out []string
	for _, c := range changes {
		s := c.Ref.String()
		if c.Object == nil {
			s = "-" + s
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

var (
	namespaces = []string{"a", "b", "istio-system"}
	names      = []string{"web", "api", "db"}
)

func pick[T any](r *rand.Rand, l ...T) T { return l[r.IntN(len(l))] }

func meta(r *rand.Rand, ns, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(1000+r.IntN(50)), 0))}
}

func randomHost(r *rand.Rand) string {
	return pick(r, "web", "api", "db", "web.a.svc.cluster.local", "api.b.svc.cluster.local", "ext.example.com", "a.ext.example.com", "*.ext.example.com", "*.example.com", "web.a", "*", "*.b.svc.cluster.local")
}

// connected tells whether a proxy of the Pod is attached: while its Pod goes
// away it keeps what it had, which one that comes anew could not get.
func connected(ref object.Ref) bool {
	return ref.Kind == object.KindPod && slices.ContainsFunc(clients, func(c snapshot.Client) bool { return c.Namespace == ref.Namespace && c.Pod == ref.Name })
}

// randomChange makes, changes or deletes an object out of few names, so that
// they come to meet.
func randomChange(r *rand.Rand, objects map[object.Ref]any) mesh.Change {
	ns, name := pick(r, namespaces...), pick(r, names...)
	kind := pick(r, object.KindService, object.KindPod, object.KindVirtualService, object.KindVirtualService, object.KindDestinationRule, object.KindServiceEntry,
		object.KindGateway, object.KindSidecar, object.KindPeerAuthentication, object.KindAuthorizationPolicy, object.KindMeshConfigFile, object.KindNode, object.KindWorkloadEntry)
	if kind == object.KindPod {
		name = fmt.Sprint("p", r.IntN(5))
	}
	if r.IntN(3) == 0 {
		kind = pick(r, gatewayAPIKinds...)
	}
	if kind == object.KindMeshConfigFile || kind == object.KindNode || kind == object.KindGatewayClass {
		ns = ""
	}
	if kind == object.KindNamespace {
		ns, name = "", pick(r, namespaces...)
	}
	ref := object.Ref{Kind: kind, Namespace: ns, Name: name}
	if _, exists := objects[ref]; exists && r.IntN(3) == 0 && !connected(ref) {
		return mesh.Change{Ref: ref}
	}
	m := meta(r, ns, name)
	c := mesh.Change{Ref: ref, Object: randomGatewayAPI(r, kind, m)}
	switch kind {
	case object.KindService:
		o := &corev1.Service{ObjectMeta: m}
		o.Spec.Selector = map[string]string{"app": name}
		o.Spec.ClusterIP = pick(r, "10.96.0.1", "10.96.0.2", "10.96.0.3", "None")
		for i := range 1 + r.IntN(2) {
			o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: pick(r, "http", "tcp", "data", "https", "grpc"), Port: pick[int32](r, 80, 81, 443), TargetPort: intstr.FromInt32(8080 + int32(i))})
		}
		if r.IntN(8) == 0 {
			o.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: pick(r, "web.a.svc.cluster.local", "api.b.svc.cluster.local")}
		}
		c.Object = o
	case object.KindPod:
		o := &corev1.Pod{ObjectMeta: m}
		o.Labels = map[string]string{"app": pick(r, names...), "version": pick(r, "v1", "v2")}
		o.Spec.ServiceAccountName = pick(r, "x", "y")
		o.Spec.NodeName = pick(r, "web", "api")
		if r.IntN(2) == 0 {
			o.Labels["security.istio.io/tlsMode"] = "istio"
		}
		o.Status.PodIP = fmt.Sprintf("10.0.%d.%s", len(ns), name[1:])
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: pick(r, corev1.ConditionTrue, corev1.ConditionFalse)}}
		c.Object = o
	case object.KindNode:
		o := &corev1.Node{ObjectMeta: m}
		o.Labels = map[string]string{"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": pick(r, "z1", "z2")}
		c.Object = o
	case object.KindVirtualService:
		o := &networkingv1.VirtualService{ObjectMeta: m}
		o.Spec.Hosts = []string{randomHost(r)}
		for r.IntN(3) == 0 {
			o.Spec.Hosts = append(o.Spec.Hosts, randomHost(r))
		}
		if r.IntN(6) == 0 {
			o.Spec.Hosts = nil // a delegate
		}
		o.Spec.Gateways = pick(r, nil, []string{"a/web"}, []string{"mesh", "web"})
		o.Spec.ExportTo = pick(r, nil, nil, []string{"."}, []string{"b"})
		if len(o.Spec.Hosts) == 0 {
			o.Spec.Gateways = nil
		}
		for range 1 + r.IntN(2) {
			h := &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: randomHost(r), Subset: pick(r, "", "v1")}}}}
			if r.IntN(2) == 0 {
				h.Match = []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/x"}}}}
			}
			if r.IntN(4) == 0 {
				h.Match = []*networking.HTTPMatchRequest{{SourceLabels: map[string]string{"app": pick(r, names...)}}}
			}
			if r.IntN(6) == 0 && len(o.Spec.Hosts) > 0 {
				h.Route, h.Delegate = nil, &networking.Delegate{Name: pick(r, names...), Namespace: pick(r, namespaces...)}
			}
			o.Spec.Http = append(o.Spec.Http, h)
		}
		if r.IntN(4) == 0 {
			o.Spec.Tcp = []*networking.TCPRoute{{Route: []*networking.RouteDestination{{Destination: &networking.Destination{Host: randomHost(r)}}}}}
		}
		if r.IntN(3) == 0 {
			o.Spec.Tls = []*networking.TLSRoute{{Match: []*networking.TLSMatchAttributes{{SniHosts: []string{randomHost(r)}}}, Route: []*networking.RouteDestination{{Destination: &networking.Destination{Host: randomHost(r)}}}}}
		}
		if r.IntN(6) == 0 {
			o.Spec.Http = nil
		}
		c.Object = o
	case object.KindDestinationRule:
		o := &networkingv1.DestinationRule{ObjectMeta: m}
		o.Spec.Host = randomHost(r)
		o.Spec.ExportTo = pick(r, nil, nil, []string{"."})
		o.Spec.Subsets = []*networking.Subset{{Name: "v1", Labels: map[string]string{"version": "v1"}}}
		if r.IntN(3) == 0 {
			o.Spec.TrafficPolicy = &networking.TrafficPolicy{OutlierDetection: &networking.OutlierDetection{}}
		}
		if r.IntN(3) == 0 {
			o.Spec.TrafficPolicy = &networking.TrafficPolicy{LoadBalancer: &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_ConsistentHash{
				ConsistentHash: &networking.LoadBalancerSettings_ConsistentHashLB{HashKey: &networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName{HttpHeaderName: "x"}}}}}
		}
		if r.IntN(4) == 0 {
			o.Spec.WorkloadSelector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": pick(r, names...)}}
		}
		c.Object = o
	case object.KindServiceEntry:
		o := &networkingv1.ServiceEntry{ObjectMeta: m}
		o.Spec.Hosts = []string{pick(r, "ext.example.com", "*.ext.example.com", "*.example.com", "web.a", "web.a.svc.cluster.local")}
		o.Spec.Ports = []*networking.ServicePort{{Number: pick[uint32](r, 80, 443, 81), Name: "p", Protocol: pick(r, "HTTP", "TLS", "TCP", "")}}
		o.Spec.Resolution = pick(r, networking.ServiceEntry_NONE, networking.ServiceEntry_DNS, networking.ServiceEntry_STATIC)
		o.Spec.Addresses = pick(r, nil, []string{"10.96.0.1"}, []string{"10.77.0.0/16"})
		o.Spec.ExportTo = pick(r, nil, nil, []string{"."})
		if o.Spec.Resolution == networking.ServiceEntry_STATIC {
			if r.IntN(2) == 0 {
				o.Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": pick(r, names...)}}
			} else {
				o.Spec.Endpoints = []*networking.WorkloadEntry{{Address: pick(r, "192.0.2.1", "192.0.2.2")}}
			}
		}
		c.Object = o
	case object.KindWorkloadEntry:
		o := &networkingv1.WorkloadEntry{ObjectMeta: m}
		o.Spec.Address = pick(r, "192.0.2.7", "192.0.2.8")
		o.Spec.Labels = map[string]string{"app": pick(r, names...)}
		c.Object = o
	case object.KindGateway:
		o := &networkingv1.Gateway{ObjectMeta: m}
		o.Spec.Selector = map[string]string{"istio": "ingressgateway"}
		o.Spec.Servers = []*networking.Server{{Port: &networking.Port{Number: pick[uint32](r, 80, 8080), Name: "http", Protocol: pick(r, "HTTP", "HTTP", "TCP")}, Hosts: []string{pick(r, "*", "*.example.com", "b/*", "web.a.svc.cluster.local")}}}
		c.Object = o
	case object.KindSidecar:
		o := &networkingv1.Sidecar{ObjectMeta: m}
		o.Spec.Egress = []*networking.IstioEgressListener{{Hosts: []string{pick(r, "./*", "*/*", "a/*", "b/api.b.svc.cluster.local", "*/a.ext.example.com", "a/*.ext.example.com", "~/*"), pick(r, "*/ext.example.com", "~a/*.ext.example.com", "~/*")}}}
		if r.IntN(2) == 0 {
			o.Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": pick(r, names...)}}
		}
		c.Object = o
	case object.KindPeerAuthentication:
		o := &securityv1.PeerAuthentication{ObjectMeta: m}
		o.Spec.Mtls = &security.PeerAuthentication_MutualTLS{Mode: pick(r, security.PeerAuthentication_MutualTLS_STRICT, security.PeerAuthentication_MutualTLS_DISABLE)}
		if r.IntN(2) == 0 {
			o.Spec.Selector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": pick(r, names...)}}
		}
		c.Object = o
	case object.KindAuthorizationPolicy:
		o := &securityv1.AuthorizationPolicy{ObjectMeta: m}
		o.Spec.Rules = []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{pick(r, "/a", "/b")}}}}}}
		c.Object = o
	case object.KindMeshConfigFile:
		c.Ref.Name = "mesh"
		c.Object = []byte(pick(r, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "outboundTrafficPolicy: {mode: ALLOW_ANY}", "trustDomain: td.example", "accessLogFile: /dev/stdout"))
		if _, exists := objects[c.Ref]; !exists && r.IntN(2) == 0 {
			c.Object = nil
		}
	}
	return c
}
