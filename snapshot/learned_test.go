package snapshot_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// table is a route configuration as Envoy holds it.
type table map[string]*routev3.VirtualHost

func tablesOf(t *testing.T, s snapshot.Stack) map[string]table {
	t.Helper()
	out := map[string]table{}
	for r := range s.All(snapshot.VirtualHost) {
		var vh routev3.VirtualHost
		if err := proto.Unmarshal(r.Body(), &vh); err != nil {
			t.Fatal(err)
		}
		config, _, _ := strings.Cut(r.Name, "/")
		if out[config] == nil {
			out[config] = table{}
		}
		out[config][r.Name] = &vh
	}
	return out
}

// lookup is the virtual host that Envoy finds for a name: the exact one, then the longest
// pattern that begins with a star, then the longest that ends with one.
func (t table) lookup(name string) string {
	best, rank := "", -1
	for host, vh := range t {
		for _, d := range vh.GetDomains() {
			n := -1
			switch {
			case d == name:
				n = 1 << 20
			case d == "*":
				n = 0
			case strings.HasPrefix(d, "*") && len(name) >= len(d) && strings.HasSuffix(name, d[1:]):
				n = 1<<10 + len(d)
			case strings.HasSuffix(d, "*") && strings.HasPrefix(name, d[:len(d)-1]):
				n = len(d)
			}
			if n > rank {
				best, rank = host, n
			}
		}
	}
	return best
}

// stub tells whether a virtual host stands for hosts that are not held, or not known.
func stub(host string) bool {
	_, name, _ := strings.Cut(host, "/")
	return name == "" || name == "ask" || name == "allow_any" || name == "block_all"
}

// envoy140 is a client of the one form or the other of scope: in a mesh that learns,
// Envoy 1.40 holds what it has asked for, and 1.39 everything.
func envoy140(namespace, pod string, minor uint32) snapshot.Client {
	return snapshot.Client{Role: snapshot.RoleSidecar, Namespace: namespace, Pod: pod, IP: "10.7.0.1", UserAgent: "envoy", Version: snapshot.Version{Major: 1, Minor: minor}, VHDS: true, Delta: true,
		NodeID: fmt.Sprintf("%s/%s-%d", namespace, pod, minor)}
}

var askedFor = []string{
	"80/web", "80/web:80", "80/api.b", "80/api.b.svc.cluster.local", "80/db.b.svc.cluster.local.", "80/ext.example.com", "80/x.ext.example.com", "80/b.example.com",
	"8080/web", "8080/web.a", "443/ext.example.com", "80/[::1]:80", "80/nobody", "80/10.96.0.1", "9090/db", "80/zzz.b.svc.cluster.local",
}

var neverAsked = []string{"80/web.b", "80/api.a.svc.cluster.local", "80/a.ext.example.com", "80/z.example.com", "8080/api", "80/unknown.example.org", "80/web.b.svc.cluster.local"}

// TestLearnedAnswersAsWhole: after any changes, a sidecar that learns finds for each name
// that its workload has asked for what it would find if it held everything, with all that this
// leads to; and for a name that it has not asked for either that, or nothing but what has it ask.
func TestLearnedAnswersAsWhole(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 22))
			objects := map[object.Ref]any{}
			p := newPlane(t)
			p.store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: {learnedScope: '*'}")}})
			p.store.Synced()
			p.settle(t, 0)
			type pair struct{ learned, whole *snapshot.View }
			pairs := map[string]pair{}
			enter := func(c snapshot.Client) *snapshot.View {
				v, err := p.engine.Attach(t.Context(), &c)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			for _, ns := range []string{"a", "b"} {
				pairs[ns] = pair{enter(envoy140(ns, "client", 40)), enter(envoy140(ns, "client", 39))}
				if !pairs[ns].learned.Learns() || pairs[ns].whole.Learns() {
					t.Fatal("Envoy 1.40 learns, and 1.39 does not")
				}
			}
			found := 0
			for step := range 60 {
				var changes []mesh.Change
				for range 1 + r.IntN(4) {
					c := randomChange(r, objects)
					if c.Ref.Kind == object.KindMeshConfigFile {
						continue
					}
					changes = append(changes, c)
					objects[c.Ref] = c.Object
					if c.Object == nil {
						delete(objects, c.Ref)
					}
				}
				p.store.Submit(changes)
				p.settle(t, step+1)
				for ns, of := range pairs {
					if step == 20 { // some are there by then, and some come later
						of.learned.Ask(askedFor)
					}
					found += answersAsWhole(t, fmt.Sprintf("step %d, namespace %s after %v", step, ns, refs(changes)), of.learned.Current(), of.whole.Current(), step >= 20)
				}
				if t.Failed() {
					return
				}
			}
			if found == 0 {
				t.Error("no name that was asked for was a host")
			}
		})
	}
}

func answersAsWhole(t *testing.T, at string, learned, whole snapshot.Stack, asked bool) (found int) {
	t.Helper()
	for k, v := range content(learned) {
		if strings.Contains(k, " of ") { // lookups, lengths and sums
			t.Errorf("%s: the %s: %s", at, k, v)
		}
	}
	want, got := tablesOf(t, whole), tablesOf(t, learned)
	for _, name := range slices.Concat(askedFor, neverAsked) {
		config, host, _ := strings.Cut(name, "/")
		host = strings.TrimSuffix(host, ":80")
		w, g := want[config].lookup(host), got[config].lookup(host)
		switch {
		case stub(g) && (stub(w) || !asked || slices.Contains(neverAsked, name)):
			continue
		case g != w:
			t.Errorf("%s: %s is answered by %q, and with everything by %q", at, name, g, w)
			continue
		}
		found++
		r := whole.Get(snapshot.VirtualHost, w)
		if held := learned.Get(snapshot.VirtualHost, g); !held.Same(r) {
			t.Errorf("%s: %s is another than with everything", at, g)
		}
		for _, route := range want[config][w].GetRoutes() {
			for _, c := range []string{route.GetRoute().GetCluster()} {
				for _, k := range []snapshot.Key{{Type: snapshot.Cluster, Name: c}, {Type: snapshot.Endpoint, Name: c}} {
					if !learned.Get(k.Type, k.Name).Same(whole.Get(k.Type, k.Name)) {
						t.Errorf("%s: %s leads to %s %s, which is another than with everything", at, g, k.Type, k.Name)
					}
				}
			}
			for _, c := range route.GetRoute().GetWeightedClusters().GetClusters() {
				if !learned.Get(snapshot.Cluster, c.GetName()).Same(whole.Get(snapshot.Cluster, c.GetName())) {
					t.Errorf("%s: %s leads to cluster %s, which is another than with everything", at, g, c.GetName())
				}
			}
		}
	}
	for typ, names := range map[snapshot.Type]func(*snapshot.Resource) bool{snapshot.Listener: func(*snapshot.Resource) bool { return true }, snapshot.RouteConfig: func(*snapshot.Resource) bool { return true },
		snapshot.Cluster: func(r *snapshot.Resource) bool { return !strings.HasPrefix(r.Name, "outbound|") }} {
		for r := range whole.All(typ) {
			if names(r) && !learned.Get(typ, r.Name).Same(r) {
				t.Errorf("%s: %s %s is not there as with everything", at, typ, r.Name)
			}
		}
	}
	return found
}

// learningPlane is a mesh that learns, with a Service api.b on port 80, a rule for all names
// below b.svc.cluster.local, and a sidecar.
func learningPlane(t *testing.T, more ...mesh.Change) (*plane, *snapshot.View) {
	t.Helper()
	p := newPlane(t)
	rule := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "all"}}
	rule.Spec.Hosts = []string{"*.b.svc.cluster.local"}
	rule.Spec.Http = []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "api.b.svc.cluster.local"}}}}}
	p.store.Submit(append([]mesh.Change{
		{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: {learnedScope: '*'}")},
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "b", Name: "all"}, Object: rule},
		serviceOn80("b", "api"), serviceOn80("b", "web"),
	}, more...))
	p.store.Synced()
	p.settle(t, 0)
	c := envoy140("a", "client", 40)
	v, err := p.engine.Attach(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	return p, v
}

func serviceOn80(namespace, name string) mesh.Change {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	o.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", len(namespace), crc32.ChecksumIEEE([]byte(name))%250+1)
	o.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	return mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: namespace, Name: name}, Object: o}
}

// TestPatternBringsWhatLiesBelow: who holds a pattern would not ask for a name that it covers,
// whether that was there before or comes later.
func TestPatternBringsWhatLiesBelow(t *testing.T) {
	p, v := learningPlane(t)
	if got := v.Ask([]string{"80/zzz.b.svc.cluster.local"}); got[0] != "80/*.b.svc.cluster.local" {
		t.Fatalf("a name below the pattern is answered by %q", got)
	}
	p.store.Submit([]mesh.Change{serviceOn80("b", "late")})
	p.settle(t, 1)
	for _, name := range []string{"api", "web", "late"} {
		if v.Current().Get(snapshot.VirtualHost, "80/"+name+".b.svc.cluster.local") == nil {
			t.Errorf("%s.b is below the pattern, and is not held", name)
		}
	}
}

// TestTooMuchLearnedIsAll: a workload that asks for more than the bounds allow sees what it
// would without a learned scope.
func TestTooMuchLearnedIsAll(t *testing.T) {
	p, v := learningPlane(t)
	whole := envoy140("a", "client", 39)
	all, err := p.engine.Attach(t.Context(), &whole)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range snapshot.MostAsked + 1 {
		names = append(names, fmt.Sprintf("80/invented-%d", i))
	}
	if v.Ask(names[:snapshot.MostAsked]); v.Current().Get(snapshot.VirtualHost, "80/api.b.svc.cluster.local") != nil {
		t.Error("a host is held that nobody asked for")
	}
	v.Ask(names[snapshot.MostAsked:])
	if got, want := content(v.Current()), content(all.Current()); !maps.Equal(got, want) {
		t.Errorf("it sees %v, and a sidecar without a learned scope %v", got, want)
	}
}

// TestWorkloadIsRemembered: what one pod asked for, the others of its workload hold from the
// beginning, also after all have gone for a while; a workload of another name does not.
func TestWorkloadIsRemembered(t *testing.T) {
	p, stranger := learningPlane(t, shopPod("shop-5d4f8b6c7d-1"), shopPod("shop-5d4f8b6c7d-2"))
	enter := func(name string) *snapshot.View {
		c := envoy140("a", name, 40)
		v, err := p.engine.Attach(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const host = "80/api.b.svc.cluster.local"
	first := enter("shop-5d4f8b6c7d-1")
	first.Ask([]string{"80/api.b"})
	second := enter("shop-5d4f8b6c7d-2")
	if second.Current().Get(snapshot.VirtualHost, host) == nil {
		t.Error("another pod of the workload does not hold what the first has asked for")
	}
	first.Close()
	second.Close()
	if enter("shop-5d4f8b6c7d-1").Current().Get(snapshot.VirtualHost, host) == nil {
		t.Error("a pod that comes back does not hold what the workload has asked for")
	}
	if stranger.Current().Get(snapshot.VirtualHost, host) != nil {
		t.Error("another workload holds it")
	}
}

// serviceEntryOn80 is a ServiceEntry for HTTP on port 80.
func serviceEntryOn80(namespace, name, host string, addresses ...string) mesh.Change {
	o := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	o.Spec.Hosts, o.Spec.Addresses = []string{host}, addresses
	o.Spec.Location, o.Spec.Resolution = networking.ServiceEntry_MESH_EXTERNAL, networking.ServiceEntry_STATIC
	o.Spec.Ports = []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}
	o.Spec.Endpoints = []*networking.WorkloadEntry{{Address: "192.0.2.9"}}
	return mesh.Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: namespace, Name: name}, Object: o}
}

// ruleFor is a VirtualService for a host, which leads to another.
func ruleFor(host, to string) mesh.Change {
	o := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "rule"}}
	o.Spec.Hosts = []string{host}
	o.Spec.Http = []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: to, Port: &networking.PortSelector{Number: 80}}}}}}
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "b", Name: "rule"}, Object: o}
}

// TestPatternsTakeNoHost: a pattern that sidecars hold before anybody asks hides no host that
// they do not hold, whoever has declared it.
func TestPatternsTakeNoHost(t *testing.T) {
	_, v := learningPlane(t, serviceEntryOn80("b", "narrow", "api.example.com", "203.0.113.5"), serviceEntryOn80("evil", "wide", "*.example.com"), serviceEntryOn80("evil", "all", "*.cluster.local"), serviceEntryOn80("evil", "any", "*.local"))
	held := tablesOf(t, v.Current())["80"]
	for host, want := range map[string]string{"api.example.com": "80/api.example.com", "x.example.com": "80/*.example.com", "web.b.svc.cluster.local": "80/ask", "x.local": "80/ask"} {
		if got := held.lookup(host); got != want {
			t.Errorf("%s is answered by %q, want %q", host, got, want)
		}
	}
}

// TestWideningIsNotForEver: a name that is no Service, under a pattern that has all Services
// below it, brings none of them; and who holds everything because of another wide pattern
// learns again when that has gone.
func TestWideningIsNotForEver(t *testing.T) {
	var more []mesh.Change
	for i := range snapshot.MostLearned + 5 {
		host := fmt.Sprintf("s%d.example.com", i)
		more = append(more, serviceEntryOn80("c", fmt.Sprintf("s%d", i), host, fmt.Sprintf("10.50.%d.%d", i/250, i%250+1)))
	}
	wide, all := serviceEntryOn80("evil", "wide", "*.example.com"), serviceEntryOn80("evil", "all", "*.svc.cluster.local")
	p, v := learningPlane(t, append(more, wide, all)...)
	if got := v.Ask([]string{"80/typo.d.svc.cluster.local"}); got[0] != "" || v.Current().Len(snapshot.VirtualHost) > 20 {
		t.Errorf("a name that is no Service is answered by %q, with %d virtual hosts", got[0], v.Current().Len(snapshot.VirtualHost))
	}
	v.Ask([]string{"80/x.example.com"})
	if n := v.Current().Len(snapshot.VirtualHost); n < snapshot.MostLearned {
		t.Errorf("under a pattern with %d hosts below it there are %d virtual hosts", snapshot.MostLearned+5, n)
	}
	p.store.Submit([]mesh.Change{{Ref: wide.Ref}})
	p.settle(t, 1)
	if n := v.Current().Len(snapshot.VirtualHost); n > 20 {
		t.Errorf("the pattern has gone, and there are %d virtual hosts", n)
	}
}

// TestClusterOutlivesTheFrame: what a workload's host leads to stays when something else that
// leads there, and that all sidecars hold, goes elsewhere.
func TestClusterOutlivesTheFrame(t *testing.T) {
	p, v := learningPlane(t, serviceEntryOn80("b", "ext", "ext.example.com"), ruleFor("ext.example.com", "api.b.svc.cluster.local"))
	v.Ask([]string{"80/api.b"})
	p.store.Submit([]mesh.Change{ruleFor("ext.example.com", "web.b.svc.cluster.local")})
	p.settle(t, 1)
	const cluster = "outbound|80||api.b.svc.cluster.local"
	if s := v.Current(); s.Get(snapshot.Cluster, cluster) == nil || s.Get(snapshot.Endpoint, cluster) == nil {
		t.Error("the cluster of a host that is held has gone")
	}
}

// shopPod is a Pod of the Deployment shop.
func shopPod(name string) mesh.Change {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": "shop"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "shop-5d4f8b6c7d", Controller: new(true)}}}}
	o.Status.PodIP = "10.8.0." + name[len(name)-1:]
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: o}
}

// TestSidecarBeforeItsPod: a sidecar that is there before the control plane knows its Pod, and so
// its workload, keeps what it has asked for.
func TestSidecarBeforeItsPod(t *testing.T) {
	p, _ := learningPlane(t)
	c := envoy140("a", "shop-5d4f8b6c7d-1", 40)
	v, err := p.engine.Attach(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	v.Ask([]string{"80/api.b"})
	p.store.Submit([]mesh.Change{shopPod("shop-5d4f8b6c7d-1")})
	p.settle(t, 1)
	if v.Current().Get(snapshot.VirtualHost, "80/api.b.svc.cluster.local") == nil {
		t.Error("with its Pod the sidecar has lost a host that it uses")
	}
	if l := p.engine.Learned(); !slices.ContainsFunc(l, func(l snapshot.Learned) bool {
		return strings.HasPrefix(l.Workload, "shop-5d4f8b6c7d") && !strings.HasSuffix(l.Workload, "-1") && len(l.Hosts) == 1
	}) {
		t.Errorf("its workload has learned nothing: %+v", l)
	}
}

// TestHostsCalledLikeStubs: hosts that bear the names of the virtual hosts that ask, and that
// answer for unknown hosts, stand in nobody's place.
func TestHostsCalledLikeStubs(t *testing.T) {
	_, v := learningPlane(t, serviceEntryOn80("evil", "one", "ask", "203.0.113.5"), serviceEntryOn80("evil", "two", "allow_any", "203.0.113.6"))
	answers := v.Ask([]string{"80/ask", "80/allow_any"})
	s := v.Current()
	if ask := s.Get(snapshot.VirtualHost, "80/ask"); ask == nil || !ask.Leased() {
		t.Error("the virtual host that asks has gone")
	}
	table := tablesOf(t, s)["80"]
	for host, name := range map[string]string{"ask": answers[0], "allow_any": answers[1]} {
		if name == "80/"+host || table.lookup(host) != name {
			t.Errorf("host %s is answered by %q, and found at %q", host, name, table.lookup(host))
		}
	}
	if got := table.lookup("%"); got != "80/allow_any" {
		t.Errorf("what nobody asks for is answered by %q", got)
	}
}

// TestExplainSaysWhatIsNotHeld: a request to a host that the sidecar does not hold yet is told
// as it will go, and that the sidecar asks first.
func TestExplainSaysWhatIsNotHeld(t *testing.T) {
	p, v := learningPlane(t)
	explained := func() explain.Answer {
		t.Helper()
		dump, err := p.engine.Dump("client.a", true)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(dump)
		if err != nil {
			t.Fatal(err)
		}
		var read explain.Dump
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		resources, err := explain.Decode(read)
		if err != nil {
			t.Fatal(err)
		}
		request, err := explain.NewRequest("GET", "http://web.b/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Destination = netip.MustParseAddr("10.96.1.1")
		return explain.Explain(resources, request)
	}
	asks := func(a explain.Answer) bool {
		return slices.ContainsFunc(a.Steps, func(s explain.Step) bool { return s.What == "on demand" })
	}
	leads := func(a explain.Answer) bool { // by the rule for all of b
		return slices.ContainsFunc(a.Steps, func(s explain.Step) bool { return s.Name == "outbound|80||api.b.svc.cluster.local" })
	}
	for _, asked := range []bool{false, true} {
		a := explained()
		if asks(a) == asked || !leads(a) {
			t.Errorf("asked for: %t; says that the sidecar asks: %t, leads to api.b: %t: %+v", asked, asks(a), leads(a), a.Steps)
		}
		v.Ask([]string{"80/web.b"})
	}
}

// TestPodsDecideWhetherTheyLearn: the annotation of a Pod goes before what the mesh
// configuration says of its namespace, and is in force when it changes.
func TestPodsDecideWhetherTheyLearn(t *testing.T) {
	annotated := func(name, value string) mesh.Change {
		c := shopPod(name)
		c.Object.(*corev1.Pod).Annotations = map[string]string{mesh.LearnedScopeAnnotation: value}
		return c
	}
	config := func(namespaces string) mesh.Change {
		return mesh.Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: {learnedScope: '" + namespaces + "'}")}
	}
	for _, c := range []struct {
		namespaces, value string
		want              bool
	}{{"a", "true", true}, {"a", "false", false}, {"b", "true", true}, {"b", "false", false}, {"a", "perhaps", true}, {"b", "perhaps", false}, {"", "true", false}} {
		t.Run(fmt.Sprintf("%q %s", c.namespaces, c.value), func(t *testing.T) {
			p, _ := learningPlane(t, config(c.namespaces), annotated("shop-5d4f8b6c7d-1", c.value))
			client := envoy140("a", "shop-5d4f8b6c7d-1", 40)
			v, err := p.engine.Attach(t.Context(), &client)
			if err != nil {
				t.Fatal(err)
			}
			if v.Learns() != c.want {
				t.Errorf("it learns: %t, want %t", v.Learns(), c.want)
			}
			other := annotated("shop-5d4f8b6c7d-1", fmt.Sprint(!c.want))
			p.store.Submit([]mesh.Change{other})
			p.settle(t, 1)
			if ended, want := v.Why() != nil, c.namespaces != ""; ended != want {
				t.Errorf("with another annotation its stream ends: %t, want %t", ended, want)
			}
		})
	}
}
