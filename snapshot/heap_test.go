package snapshot_test

import (
	"fmt"
	"maps"
	"runtime"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// history is one way in which a mesh changes again and again without becoming
// larger.
type history struct {
	name  string
	steps int
	step  func(i int) []mesh.Change
	// proxy connects before the i-th step and leaves after it; nil for none.
	proxy func(i int) snapshot.Client
}

// TestMemoryFollowsTheMesh plays long histories and compares the heap with that
// of a control plane that was started with the objects of their end.
func TestMemoryFollowsTheMesh(t *testing.T) {
	t.Run("once", func(t *testing.T) { measure(t, heapWorld) }) // what a process makes once is nobody's
	for _, h := range histories() {
		t.Run(h.name, func(t *testing.T) {
			var fresh, aged footprint
			t.Run("fresh", func(t *testing.T) { fresh = measure(t, h.end) })
			t.Run("aged", func(t *testing.T) { aged = measure(t, heapWorld, h) })
			t.Logf("with proxies %.2f MB after %.2f MB, without %.2f after %.2f", aged.busy, fresh.busy, aged.idle, fresh.idle)
			const slack = 0.25 // MB, of the runtime and the testing itself
			if aged.busy > 1.3*fresh.busy+slack {
				t.Errorf("with proxies %.2f MB are held, %.2f MB after a start", aged.busy, fresh.busy)
			}
			if aged.idle > 1.1*fresh.idle+slack {
				t.Errorf("after the proxies have left %.2f MB are held, %.2f MB after a start", aged.idle, fresh.idle)
			}
		})
	}
}

// end is the objects that are there in the end.
func (h history) end() map[object.Ref]any {
	objects := heapWorld()
	for i := range h.steps {
		for _, c := range h.step(i) {
			objects[c.Ref] = c.Object
			if c.Object == nil {
				delete(objects, c.Ref)
			}
		}
	}
	return objects
}

// footprint is what a plane holds, in MB: with its proxies and after they left.
type footprint struct{ busy, idle float64 }

// measure is the footprint of a plane that begins with objects, after histories.
func measure(t *testing.T, objects func() map[object.Ref]any, histories ...history) footprint {
	t.Helper()
	before := heap()
	p := newPlane(t)
	for ref, o := range objects() {
		p.store.Submit([]mesh.Change{{Ref: ref, Object: o}})
	}
	p.store.Synced()
	p.settle(t, 0)
	p.attach(t)
	for _, h := range histories {
		p.live(t, h)
	}
	p.engine.Shed()
	var f footprint
	f.busy = heap() - before
	for _, v := range p.views {
		v.Close()
	}
	clear(p.views)
	p.engine.Shed()
	f.idle = heap() - before
	runtime.KeepAlive(p)
	return f
}

// live plays a history before the eyes of a proxy that does not read.
func (p *plane) live(t *testing.T, h history) {
	t.Helper()
	stuck := p.views["a/p0"].Current()
	clusters := stuck.Len(snapshot.Cluster)
	for i := range h.steps {
		leave := func() {}
		if h.proxy != nil {
			c := h.proxy(i)
			v, err := p.engine.Attach(t.Context(), &c)
			if err != nil {
				t.Fatal(err)
			}
			leave = v.Close
		}
		p.store.Submit(h.step(i))
		if i%4 == 0 || i == h.steps-1 { // else several come in one pass
			p.settle(t, i+1)
			p.store.Submit([]mesh.Change{gone(object.KindSecret, "marker", fmt.Sprint("m", i+1))})
		}
		leave()
	}
	p.settle(t, h.steps+1)
	if clusters == 0 || stuck.Len(snapshot.Cluster) != clusters {
		t.Error("what a proxy holds that does not read is not as it was")
	}
}

// heap is what is held after a collection, in MB.
func heap() float64 {
	for range 3 { // finalizers and weak pointers take more than one
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

const heapPods = 300

// heapWorld is where all histories begin.
func heapWorld() map[object.Ref]any {
	objects := map[object.Ref]any{}
	add := func(c mesh.Change) { objects[c.Ref] = c.Object }
	add(routerPod())
	for i := range heapPods {
		add(heapPod(i, 0, map[string]string{"version": fmt.Sprint("v", i%2)}))
	}
	for i := range 10 {
		add(heapService("a", fmt.Sprint("s", i), "http", nil))
	}
	add(heapService("a", "web", "http", nil))
	add(heapRule("v0"))
	add(change(object.KindGateway, "a", "web", func(m metav1.ObjectMeta) any {
		return &networkingv1.Gateway{ObjectMeta: m, Spec: networking.Gateway{Selector: map[string]string{"istio": "ingressgateway"},
			Servers: []*networking.Server{{Port: &networking.Port{Number: 80, Name: "http", Protocol: "HTTP"}, Hosts: []string{"*"}}}}}
	}))
	add(heapRoute("a", "web", "web.a.svc.cluster.local", "v0"))
	return objects
}

func change(kind object.Kind, namespace, name string, obj func(metav1.ObjectMeta) any) mesh.Change {
	return mesh.Change{Ref: object.Ref{Kind: kind, Namespace: namespace, Name: name},
		Object: obj(metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.Unix(1000, 0)})}
}

func gone(kind object.Kind, namespace, name string) mesh.Change {
	return mesh.Change{Ref: object.Ref{Kind: kind, Namespace: namespace, Name: name}}
}

// heapPod is the n-th Pod of the service "web", life being which one of its name.
func heapPod(n, life int, labels map[string]string) mesh.Change {
	return change(object.KindPod, "a", fmt.Sprint("p", n), func(m metav1.ObjectMeta) any {
		m.UID = types.UID(fmt.Sprint("uid-", n, "-", life))
		m.Labels = map[string]string{"app": "web"}
		maps.Copy(m.Labels, labels)
		o := &corev1.Pod{ObjectMeta: m}
		o.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", life%200, n/200, n%200+1)
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return o
	})
}

func heapService(namespace, name, port string, labels map[string]string) mesh.Change {
	return change(object.KindService, namespace, name, func(m metav1.ObjectMeta) any {
		m.Labels = labels
		return &corev1.Service{ObjectMeta: m, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", len(name), name[len(name)-1]), Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: port, Port: 80}}}}
	})
}

func heapRule(subset string) mesh.Change {
	return change(object.KindDestinationRule, "a", "web", func(m metav1.ObjectMeta) any {
		return &networkingv1.DestinationRule{ObjectMeta: m, Spec: networking.DestinationRule{Host: "web", Subsets: []*networking.Subset{{Name: subset, Labels: map[string]string{"version": "v0"}}}}}
	})
}

func heapRoute(namespace, name, host, subset string) mesh.Change {
	return change(object.KindVirtualService, namespace, name, func(m metav1.ObjectMeta) any {
		return &networkingv1.VirtualService{ObjectMeta: m, Spec: networking.VirtualService{Hosts: []string{host}, Gateways: []string{"mesh", "a/web"},
			Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "web.a.svc.cluster.local", Subset: subset}}}}}}}
	})
}

func histories() []history {
	return []history{
		{name: "pods change address", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{heapPod(i%heapPods, i+1, map[string]string{"version": fmt.Sprint("v", i%2)})}
		}},
		{name: "readiness flaps", steps: 240, step: func(i int) []mesh.Change {
			c := heapPod(7, 1, nil)
			if o, ok := c.Object.(*corev1.Pod); ok && i%2 == 0 {
				o.Status.Conditions = nil
			}
			return []mesh.Change{c}
		}},
		{name: "a service whose labels change", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{heapService("a", "web", "http", map[string]string{"build": fmt.Sprint(i)})}
		}},
		{name: "ports are renamed", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{heapService("a", "web", fmt.Sprint("http-", i), nil)}
		}},
		{name: "ever new subsets", steps: 240, step: func(i int) []mesh.Change {
			subset := fmt.Sprint("build-", i)
			return []mesh.Change{heapRule(subset), heapRoute("a", "web", "web.a.svc.cluster.local", subset)}
		}},
		{name: "routes of ever new hosts", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{heapRoute("a", "web", fmt.Sprintf("preview-%d.example.com", i), "v0")}
		}},
		{name: "namespaces come and go", steps: 300, step: func(i int) []mesh.Change {
			ns := func(i int) string { return fmt.Sprint("preview-", i) }
			c := []mesh.Change{
				change(object.KindNamespace, "", ns(i), func(m metav1.ObjectMeta) any { return &corev1.Namespace{ObjectMeta: m} }),
				heapService(ns(i), "app", "http", nil), heapRoute(ns(i), "app", "app", "nowhere"),
				change(object.KindSidecar, ns(i), "all", func(m metav1.ObjectMeta) any {
					return &networkingv1.Sidecar{ObjectMeta: m, Spec: networking.Sidecar{Egress: []*networking.IstioEgressListener{{Hosts: []string{"./*"}}}}}
				}),
			}
			if i > 0 {
				for _, kind := range []object.Kind{object.KindService, object.KindVirtualService} {
					c = append(c, gone(kind, ns(i-1), "app"))
				}
				c = append(c, gone(object.KindSidecar, ns(i-1), "all"), gone(object.KindNamespace, "", ns(i-1)))
			}
			return c
		}, proxy: func(i int) snapshot.Client {
			return snapshot.Client{NodeID: fmt.Sprint("n", i), Role: snapshot.RoleSidecar, Namespace: fmt.Sprint("preview-", i), Pod: fmt.Sprint("app-", i), IP: "10.8.0.1"}
		}},
		{name: "policies of ever new paths", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{change(object.KindAuthorizationPolicy, "a", "web", func(m metav1.ObjectMeta) any {
				return &securityv1.AuthorizationPolicy{ObjectMeta: m, Spec: security.AuthorizationPolicy{
					Selector: &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}},
					Rules:    []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{fmt.Sprint("/", i)}}}}}}}}
			})}
		}},
		{name: "rules for ever new labels of clients", steps: 150, step: func(i int) []mesh.Change {
			c := heapRoute("a", "web", "web.a.svc.cluster.local", "v0")
			if o, ok := c.Object.(*networkingv1.VirtualService); ok {
				o.Spec.Http[0].Match = []*networking.HTTPMatchRequest{{SourceLabels: map[string]string{"build": fmt.Sprint(i)}}}
			}
			return []mesh.Change{c}
		}, proxy: func(i int) snapshot.Client {
			return snapshot.Client{NodeID: fmt.Sprint("n", i), Role: snapshot.RoleSidecar, Namespace: "b", Pod: fmt.Sprint("job-", i), IP: "10.8.0.1", Labels: map[string]string{"build": fmt.Sprint(i)}}
		}},
		{name: "jobs with labels of their own", steps: 240, step: func(i int) []mesh.Change {
			job := func(i int) mesh.Change {
				c := heapPod(1000+i, i, map[string]string{"app": fmt.Sprint("job-", i), "build": fmt.Sprint(i)})
				return c
			}
			if i == 0 {
				return []mesh.Change{job(0)}
			}
			return []mesh.Change{job(i), gone(object.KindPod, "a", job(i-1).Ref.Name)}
		}, proxy: func(i int) snapshot.Client {
			return snapshot.Client{NodeID: fmt.Sprint("n", i), Role: snapshot.RoleSidecar, Namespace: "a", Pod: fmt.Sprint("p", 1000+i), IP: "10.8.0.1"}
		}},
		{name: "gateways of ever new labels", steps: 150, step: func(int) []mesh.Change { return nil }, proxy: func(i int) snapshot.Client {
			return snapshot.Client{NodeID: fmt.Sprint("n", i), Role: snapshot.RoleRouter, Namespace: "a", Pod: fmt.Sprint("gw-", i), IP: "10.8.0.1", Labels: map[string]string{"istio": "ingressgateway", "hash": fmt.Sprint(i)}}
		}},
		{name: "gateways of ever new servers and Secrets", steps: 240, step: func(i int) []mesh.Change {
			name := fmt.Sprint("cert-", i)
			c := []mesh.Change{change(object.KindGateway, "a", "web", func(m metav1.ObjectMeta) any {
				return &networkingv1.Gateway{ObjectMeta: m, Spec: networking.Gateway{Selector: map[string]string{"istio": "ingressgateway"},
					Servers: []*networking.Server{{Port: &networking.Port{Number: 443, Name: "https", Protocol: "HTTPS"}, Hosts: []string{fmt.Sprintf("h%d.example.com", i)},
						Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE, CredentialName: name}}}}}
			}), change(object.KindSecret, "a", name, func(m metav1.ObjectMeta) any {
				return &corev1.Secret{ObjectMeta: m, Data: map[string][]byte{"tls.crt": make([]byte, 3000), "tls.key": make([]byte, 3000)}}
			})}
			if i > 0 {
				c = append(c, gone(object.KindSecret, "a", fmt.Sprint("cert-", i-1)))
			}
			return c
		}},
		{name: "entries of ever new names and addresses", steps: 240, step: func(i int) []mesh.Change {
			return []mesh.Change{change(object.KindServiceEntry, "a", "ext", func(m metav1.ObjectMeta) any {
				return &networkingv1.ServiceEntry{ObjectMeta: m, Spec: networking.ServiceEntry{Hosts: []string{fmt.Sprintf("e%d.example.com", i)}, Addresses: []string{fmt.Sprintf("10.77.%d.%d", i/200, i%200+1)},
					Ports: []*networking.ServicePort{{Number: uint32(1000 + i), Name: "tcp", Protocol: "TCP"}}, Resolution: networking.ServiceEntry_STATIC,
					Endpoints: []*networking.WorkloadEntry{{Address: fmt.Sprintf("192.0.2.%d", i%200+1)}}}}
			})}
		}},
		{name: "the mesh's configuration", steps: 200, step: func(i int) []mesh.Change {
			return []mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: fmt.Appendf(nil, "accessLogFile: /dev/%d", i)}}
		}},
	}
}
