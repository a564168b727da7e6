package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// randomHeld is an object out of few names, as heldObject reads it.
func randomHeld(r *rand.Rand) string {
	pick := func(l ...string) string { return l[r.IntN(len(l))] }
	ns, name := pick("a", "b"), pick("web", "api")
	host := func() string {
		return pick("web", "api", "web.a.svc."+object.Domain, "api.b.svc."+object.Domain, "ext.example")
	}
	to := func() string {
		return "{destination: {host: " + host() + pick("", ", subset: v1", ", subset: v2", ", port: {number: 81}") + "}, weight: 50}"
	}
	gone := pick("-", "", "")
	switch r.IntN(8) {
	case 0:
		return gone + fmt.Sprintf("service %s/%s {clusterIP: 10.0.0.%d, selector: {app: x}, exportTo: [], ports: [%s]}", ns, name, r.IntN(4), pick("{name: http, port: 80}", "{name: http, port: 80}, {name: http-more, port: 81}"))
	case 1:
		return gone + fmt.Sprintf("service %s/%s {type: ExternalName, externalName: %s.%s.svc.%s}", ns, name, pick("web", "api"), pick("a", "b"), object.Domain)
	case 2:
		return gone + fmt.Sprintf("entry %s/%s {hosts: [ext.example], resolution: DNS, ports: [{number: %s, name: http, protocol: HTTP}]}", ns, name, pick("80", "81"))
	case 3, 4:
		return gone + fmt.Sprintf("rule %s/%s {host: %s, exportTo: [%s], subsets: [%s]}", ns, name, host(), pick("'*'", "."), pick("", "{name: v1}", "{name: v2}", "{name: v1}, {name: v2}"))
	default:
		return gone + fmt.Sprintf("route %s/%s {hosts: [%s, %s], gateways: [%s], exportTo: [%s], http: [{route: [%s, %s]}]}", ns, name, host(), pick("new.example", "'*.example'", host()), pick("mesh", "in/gw", "mesh, in/gw"), pick("'*'", "'*'", "."), to(), to())
	}
}

// inForce is the route that sidecars of a namespace have for each host, as what
// it says, and whether all that it names is there.
func inForce(w *World, ns string) (says map[string]string, leads map[string]bool) {
	says, leads = map[string]string{}, map[string]bool{}
	v := w.View(Scope{Role: RoleSidecar, Namespace: ns})
	hosts := map[string]bool{"new.example": true, "*.example": true}
	for name := range w.Hosts() {
		hosts[name] = true
	}
	for name := range w.RouteHosts() {
		hosts[name] = true
	}
	for host := range hosts {
		vs, _ := v.Route(host)
		says[host], leads[host] = "", true
		if vs == nil {
			continue
		}
		says[host] = vs.Ref.String() + " " + vs.Spec.String()
		sidecars, _ := w.clientsOf(vs)
		for _, d := range destinationsOf(vs) {
			leads[host] = leads[host] && newSights(w).there(d, sidecars)
		}
	}
	return says, leads
}

// TestOnlyTornRoutesWait goes through random changes with and without holding:
// what services and rules say is in force at once in both, and the routes of each
// host are unless they lead nowhere; once time has passed nothing is left of it.
func TestOnlyTornRoutesWait(t *testing.T) {
	held := 0
	for seed := range 60 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 3))
			h := newHolder(t, gate)
			plain := newHolder(t)
			plain.b.holding, plain.b.last = false, nil
			plain.apply(gate)
			for i := range 60 {
				var objects []string
				for range 1 + r.IntN(3) {
					objects = append(objects, randomHeld(r))
				}
				h.apply(objects...)
				plain.apply(objects...)
				held += len(h.b.holds.routes) + len(h.b.holds.kept)
				if !sameIndex(h.world, plain.world) {
					t.Fatalf("step %d, %q: services or rules wait", i, objects)
				}
				for _, ns := range []string{"a", "b", "c"} {
					want, leads := inForce(plain.world, ns)
					got, _ := inForce(h.world, ns)
					for host := range want {
						if leads[host] && got[host] != want[host] && !behindTorn(plain.world, ns, host) {
							t.Fatalf("step %d, %q: in namespace %s host %s has %q, without holding it has %q", i, objects, ns, host, got[host], want[host])
						}
					}
				}
				h.pass(time.Duration(r.IntN(1500)) * time.Millisecond)
			}
			h.pass(time.Hour)
			h.settled()
			for _, ns := range []string{"a", "b", "c"} {
				want, _ := inForce(plain.world, ns)
				if got, _ := inForce(h.world, ns); !maps.Equal(got, want) {
					t.Fatalf("in the end namespace %s has %q, without holding it has %q", ns, got, want)
				}
			}
			for _, of := range []*holder{h, plain} { // nothing is forgotten in the index of what routes name
				for ref := range maps.Clone(of.b.holds.placed) {
					of.b.change(Change{Ref: ref})
				}
				of.b.finish()
				if n := len(of.b.leads.of) + len(of.b.leads.count) + len(of.b.leads.clients); n > 0 {
					t.Errorf("%d leads of routes that are gone", n)
				}
			}
		})
	}
	if held == 0 {
		t.Error("nothing was ever held")
	}
}

// behindTorn tells whether a VirtualService that leads nowhere and is of the host
// may stand in the way: while its last version is in force, that is one of the
// hosts concerned.
func behindTorn(w *World, ns, host string) bool {
	torn := false
	for _, vs := range w.VirtualServices() {
		sidecars, _ := w.clientsOf(vs)
		for _, d := range destinationsOf(vs) {
			torn = torn || slices.ContainsFunc(vs.Hosts, func(h string) bool { return object.HostMatches(h, host) }) && !newSights(w).there(d, sidecars)
		}
	}
	return torn
}

func sameIndex(a, b *World) bool {
	same := a.hosts.Len() == b.hosts.Len() && a.rules.Len() == b.rules.Len()
	for name, x := range a.hosts.All() {
		y := b.Host(name)
		same = same && y != nil && slices.EqualFunc(x.Services, y.Services, (*registry.Service).Equal)
	}
	for host, x := range a.rules.All() {
		y, _ := b.rules.Get(host)
		same = same && slices.EqualFunc(x, y, func(p, q *traffic.DestinationRule) bool {
			return slices.Equal(p.Refs, q.Refs) && slices.EqualFunc(p.Subsets, q.Subsets, func(s, t *traffic.Subset) bool { return s.Name == t.Name })
		})
	}
	return same
}

// TestNobodyWaitsForAnothersRoute has a tenant whose route is held and changed
// again and again, while endpoints and routes of another namespace change: they
// are published while the tenant's route still waits.
func TestNobodyWaitsForAnothersRoute(t *testing.T) {
	worlds := make(chan *World, 4096)
	s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { worlds <- w })
	s.HoldRoutes = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.Submit([]Change{heldObject(t, "config - {fairway: {routeHold: 30s}}"), heldObject(t, web), heldObject(t, ruleV1), heldObject(t, toV1), heldObject(t, other)})
	s.Synced()
	<-worlds
	begin := time.Now()
	nowhere := func(i int) string { return strings.ReplaceAll(toV1, "subset: v1", fmt.Sprint("subset: no", i)) }
	for i := range 200 {
		s.Submit([]Change{heldObject(t, nowhere(i))})
		name := fmt.Sprint("more", i)
		s.Submit([]Change{heldObject(t, strings.ReplaceAll(other, "b/other", "b/"+name)), heldObject(t, fmt.Sprintf("route b/r {hosts: [other], http: [{route: [{destination: {host: %s}}]}]}", name))})
		seen := false
		for !seen {
			select {
			case w := <-worlds:
				l, _ := w.routes.Get("other.b.svc." + object.Domain)
				seen = len(l) == 1 && l[0].Destinations[0] == name+".b.svc."+object.Domain
			case <-time.After(20 * time.Second):
				t.Fatalf("change %d of another namespace waits", i)
			}
		}
		if l, _ := s.World().routes.Get("web.a.svc." + object.Domain); time.Since(begin) < 25*time.Second && (len(l) != 1 || destinationsOf(l[0])[0].subset != "v1") {
			t.Fatalf("the tenant's route was not held: the test shows nothing")
		}
	}
}

// TestHoldsAreBounded holds what one namespace and all may hold back.
func TestHoldsAreBounded(t *testing.T) {
	h := newHolder(t, web)
	var objects []string
	for i := range mostHeldOfNamespace + 10 {
		objects = append(objects, fmt.Sprintf("service a/s%d {ports: [{port: 80}]}", i))
	}
	h.apply(objects...)
	for i := range objects {
		objects[i] = fmt.Sprintf("route a/r%d {hosts: [s%d], http: [{route: [{destination: {host: web, subset: absent}}]}]}", i, i)
	}
	h.apply(objects...)
	if n := len(h.b.holds.routes); n != mostHeldOfNamespace {
		t.Errorf("%d routes of one namespace are held, want %d", n, mostHeldOfNamespace)
	}
	h.run("web.b.svc."+object.Domain, (*holder).served, []step{ // another namespace has room of its own
		{"service b/web {ports: [{port: 80}]}", "direct"}, {"route b/web {hosts: [web], http: [{route: [{destination: {host: web, subset: absent}}]}]}", "direct"}})
	h.pass(time.Hour)
	h.settled()
}

// TestOwnersAreNotHeldByOthers has tenant a point routes at the host of tenant b:
// what b takes away or makes anew is in force for everybody else at once.
func TestOwnersAreNotHeldByOthers(t *testing.T) {
	const host = "other.b.svc." + object.Domain
	h := newHolder(t, other, "rule b/other {host: other, subsets: [{name: v1}]}", web, "route a/web {hosts: [web], http: [{route: [{destination: {host: "+host+", subset: v1}}]}]}")
	h.apply("-service b/other")
	v := h.world.View(Scope{Role: RoleSidecar, Namespace: "c"})
	if s, _ := v.Service(host); s != nil || h.world.vips.Len() != 1 {
		t.Error("the service that was deleted has its names and addresses still")
	}
	if got := h.served("web.a.svc." + object.Domain); got != "other/v1" {
		t.Errorf("the route leads to %q", got)
	}
	const anew = "service b/other {clusterIP: 10.0.0.9, selector: {app: anew}, ports: [{name: http, port: 81}]}"
	h.apply(anew, "rule b/other {host: other, trafficPolicy: {tls: {mode: DISABLE}}}")
	v = h.world.View(Scope{Role: RoleSidecar, Namespace: "c"})
	if s, _ := v.Service(host); s == nil || s.Port(81) == nil || v.Rule(s) == nil || v.Rule(s).Policy == nil || v.Rule(s).Subset("v1") != nil {
		t.Error("the new version waits")
	}
	h.pass(3 * time.Second)
	if got := h.served("web.a.svc." + object.Domain); got != "other/v1!" {
		t.Errorf("after its time the route leads to %q", got)
	}
	h.settled()
}
