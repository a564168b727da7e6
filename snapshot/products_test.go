package snapshot_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

func evilMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "evil", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000, 0))}
}

func times[T any](n int, one func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = one(i)
	}
	return out
}

func entry(name string, hosts, ports int, protocol string) mesh.Change {
	o := &networkingv1.ServiceEntry{ObjectMeta: evilMeta(name)}
	o.Spec.Resolution = networking.ServiceEntry_STATIC
	o.Spec.Hosts = times(hosts, func(i int) string { return fmt.Sprintf("h%d.%s.evil.example", i, name) })
	o.Spec.Ports = times(ports, func(i int) *networking.ServicePort {
		return &networking.ServicePort{Number: uint32(8000 + i), Name: fmt.Sprintf("http-%d", i), Protocol: protocol}
	})
	o.Spec.Endpoints = []*networking.WorkloadEntry{{Address: "10.9.9.9"}}
	return mesh.Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "evil", Name: name}, Object: o}
}

func rule(i int) *networking.HTTPRoute {
	return &networking.HTTPRoute{
		Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: fmt.Sprintf("/%d", i)}}}},
		Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "h0.e0.evil.example", Port: &networking.PortSelector{Number: 8000}}}},
	}
}

func vs(name string, rules int, gateways []string, hosts ...string) mesh.Change {
	o := &networkingv1.VirtualService{ObjectMeta: evilMeta(name)}
	o.Spec.Hosts, o.Spec.Gateways = hosts, gateways
	o.Spec.Http = times(rules, rule)
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: name}, Object: o}
}

func gw(name string, servers int, host string) mesh.Change {
	o := &networkingv1.Gateway{ObjectMeta: evilMeta(name)}
	o.Spec.Selector = map[string]string{"app": "gw"}
	o.Spec.Servers = times(servers, func(i int) *networking.Server {
		return &networking.Server{Port: &networking.Port{Number: uint32(20000 + i), Name: fmt.Sprint("http-", i), Protocol: "HTTP"}, Hosts: []string{host}}
	})
	return mesh.Change{Ref: object.Ref{Kind: object.KindGateway, Namespace: "evil", Name: name}, Object: o}
}

func pod(name string) mesh.Change {
	o := &corev1.Pod{ObjectMeta: evilMeta(name)}
	o.Labels = map[string]string{"app": name}
	o.Status.PodIP = "10.7.0.1"
	o.Status.Phase = corev1.PodRunning
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "evil", Name: name}, Object: o}
}

func service(name string, ports int) mesh.Change {
	o := &corev1.Service{ObjectMeta: evilMeta(name)}
	o.Spec.Selector = map[string]string{"app": name}
	o.Spec.ClusterIP = "10.96.7.7"
	o.Spec.Ports = times(ports, func(i int) corev1.ServicePort {
		return corev1.ServicePort{Name: fmt.Sprint("http-", i), Port: int32(8000 + i)}
	})
	return mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "evil", Name: name}, Object: o}
}

func authz(name string, paths int, targets int) mesh.Change {
	o := &securityv1.AuthorizationPolicy{ObjectMeta: evilMeta(name)}
	o.Spec.Action = security.AuthorizationPolicy_DENY
	if paths > 0 {
		o.Spec.Rules = []*security.Rule{{To: times(paths, func(i int) *security.Rule_To {
			return &security.Rule_To{Operation: &security.Operation{Paths: []string{fmt.Sprintf("/%d*", i)}}}
		})}}
	}
	o.Spec.TargetRefs = times(targets, func(i int) *typev1.PolicyTargetReference {
		return &typev1.PolicyTargetReference{Kind: "Service", Name: fmt.Sprint("s", i)}
	})
	return mesh.Change{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: name}, Object: o}
}

func jwt(name string, rules int) mesh.Change {
	o := &securityv1.RequestAuthentication{ObjectMeta: evilMeta(name)}
	o.Spec.JwtRules = times(rules, func(i int) *security.JWTRule {
		return &security.JWTRule{Issuer: fmt.Sprint(name, "-", i), Jwks: `{"keys":[]}` + strings.Repeat(" ", 3000)}
	})
	return mesh.Change{Ref: object.Ref{Kind: object.KindRequestAuthentication, Namespace: "evil", Name: name}, Object: o}
}

// room is how much memory the objects of one hostile namespace may take, with what is made
// of them for a few proxies.
const room = 256 << 20

// TestProducts builds what multiplies, of objects as large as an API server takes: the
// memory and the time of the world and of a pass are told, and the memory is bounded.
// FAIRWAY_FAULTS=long has it run; its parts are held by the tests of each bound.
func TestProducts(t *testing.T) {
	if os.Getenv("FAIRWAY_FAULTS") != "long" {
		t.Skip("some minutes: FAIRWAY_FAULTS=long")
	}
	worlds := []struct {
		name string
		of   func() []mesh.Change
	}{
		{"nothing", func() []mesh.Change { return nil }},
		{"one wildcard of 70 rules", func() (out []mesh.Change) {
			for i := range 10 {
				out = append(out, entry(fmt.Sprint("e", i), 250, 8, "HTTP"))
			}
			return append(out, vs("v", 70, nil, "*.evil.example"))
		}},
		{"wildcards", func() (out []mesh.Change) {
			for i := range 10 {
				out = append(out, entry(fmt.Sprint("e", i), 250, 1, "HTTP"), vs(fmt.Sprint("v", i), 900, nil, fmt.Sprintf("*.e%d.evil.example", i)))
			}
			return out
		}},
		{"exact hosts × ports", func() (out []mesh.Change) {
			for i := range 10 {
				out = append(out, entry(fmt.Sprint("e", i), 100, 20, "HTTP"), vs(fmt.Sprint("v", i), 100, nil, times(100, func(j int) string { return fmt.Sprintf("h%d.e%d.evil.example", j, i) })...))
			}
			return out
		}},
		{"gateway ports × routes", func() (out []mesh.Change) {
			out = append(out, pod("gw"), gw("g", 1000, "*"), entry("e0", 1, 1, "HTTP"))
			return append(out, vs("v", 200, []string{"g"}, "a.example", "b.example"))
		}},
		{"roots × delegate", func() (out []mesh.Change) {
			for i := range 200 {
				c := vs(fmt.Sprint("r", i), 1, nil, fmt.Sprintf("r%d.example", i))
				o := c.Object.(*networkingv1.VirtualService)
				o.Spec.Http[0] = &networking.HTTPRoute{Delegate: &networking.Delegate{Name: "d"}}
				out = append(out, c)
			}
			return append(out, vs("d", 3000, nil))
		}},
		{"policies × ports", func() (out []mesh.Change) {
			out = append(out, pod("web"), service("web", 100))
			for i := range 10 {
				out = append(out, authz(fmt.Sprint("p", i), 20_000, 0))
			}
			return out
		}},
		{"JWT × ports", func() (out []mesh.Change) {
			out = append(out, pod("web"), service("web", 100))
			for i := range 4 {
				out = append(out, jwt(fmt.Sprint("p", i), 250))
			}
			return out
		}},
		{"targetRefs", func() (out []mesh.Change) {
			out = append(out, pod("web"), service("web", 100))
			for i := range 10 {
				out = append(out, authz(fmt.Sprint("p", i), 0, 30_000))
			}
			return out
		}},
		{"5000 policies", func() (out []mesh.Change) {
			out = append(out, pod("web"), service("web", 1))
			for i := range 5000 {
				out = append(out, authz(fmt.Sprint("p", i), 1, 0))
			}
			return out
		}},
	}
	worlds = append(worlds, struct {
		name string
		of   func() []mesh.Change
	}{"telemetry × listeners", func() (out []mesh.Change) {
		for i := range 8 {
			out = append(out, entry(fmt.Sprint("e", i), 100, 10, "TCP"))
			o := out[i].Object.(*networkingv1.ServiceEntry)
			o.Spec.Addresses = []string{fmt.Sprintf("240.0.0.%d", i)}
			for j, p := range o.Spec.Ports {
				p.Number = uint32(10_000 + 100*i + j)
			}
			o.Spec.Hosts = o.Spec.Hosts[:100]
		}
		o := &telemetryv1.Telemetry{ObjectMeta: evilMeta("t")}
		o.Spec.AccessLogging = []*telemetry.AccessLogging{{Filter: &telemetry.AccessLogging_Filter{Expression: "response.code >= 400" + strings.Repeat(" || response.code == 200", 20_000)}}}
		o.Spec.Metrics = []*telemetry.Metrics{{Providers: []*telemetry.ProviderRef{{Name: "prometheus"}}, Overrides: times(400, func(i int) *telemetry.MetricsOverrides {
			return &telemetry.MetricsOverrides{TagOverrides: map[string]*telemetry.MetricsOverrides_TagOverride{fmt.Sprint("t", i): {Value: "'" + strings.Repeat("x", 200) + "'"}}}
		})}}
		out = append(out, mesh.Change{Ref: object.Ref{Kind: object.KindTelemetry, Namespace: "evil", Name: "t"}, Object: o})
		return out
	}})
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			changes := w.of()
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out := make(chan *mesh.World, 1)
			store := mesh.NewStore(slog.New(slog.NewTextHandler(io.Discard, nil)), func(w *mesh.World, _ *mesh.Dirty) { out <- w })
			go func() { _ = store.Run(t.Context()) }()
			begin := time.Now()
			store.Submit(changes)
			store.Synced()
			world := <-out
			built := time.Since(begin)
			e := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, nil)
			begin = time.Now()
			e.Update(world, &mesh.Dirty{All: true})
			passed := time.Since(begin)
			begin = time.Now()
			for _, c := range []*snapshot.Client{
				{NodeID: "1", Role: snapshot.RoleSidecar, Namespace: "evil", Pod: "web", IP: "10.7.0.1", Labels: map[string]string{"app": "web"}},
				{NodeID: "2", Role: snapshot.RoleSidecar, Namespace: "shop", Pod: "web", IP: "10.7.0.2"},
				{NodeID: "3", Role: snapshot.RoleRouter, Namespace: "evil", Pod: "gw", IP: "10.7.0.1", Labels: map[string]string{"app": "gw"}},
			} {
				if _, err := e.Attach(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			attached := time.Since(begin)
			begin = time.Now()
			e.Update(world, &mesh.Dirty{All: true})
			again := time.Since(begin)
			var most runtime.MemStats
			runtime.ReadMemStats(&most)
			runtime.GC()
			runtime.ReadMemStats(&after)
			entries, bytes := e.Built()
			live := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			t.Logf("world %v, pass %v, proxies %v, pass again %v; live %d MiB, allocated %d MiB, heap of up to %d MiB, %d entries of %d KiB", built, passed, attached, again,
				live>>20, (most.TotalAlloc-before.TotalAlloc)>>20, most.HeapSys>>20, entries, bytes>>10)
			if live > room {
				t.Errorf("%d bytes are live, more than %d", live, room)
			}
			runtime.KeepAlive(changes)
			runtime.KeepAlive(e)
		})
	}
}
