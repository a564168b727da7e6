package snapshot_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// meshOf is a mesh of 1,000 services and 200 proxies in 40 namespaces and three zones.
type meshOf struct {
	dual    bool // every Service and Pod has an address of both families
	outlier bool // every service has a rule with outlierDetection
}

func (m meshOf) changes() (out []mesh.Change) {
	for z := range 3 {
		out = append(out, change(object.KindNode, "", fmt.Sprint("n", z), func(o metav1.ObjectMeta) any {
			o.Labels = map[string]string{"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": fmt.Sprint("z", z)}
			return &corev1.Node{ObjectMeta: o}
		}))
	}
	for i := range 1000 {
		ns, name := fmt.Sprint("ns", i%40), fmt.Sprint("s", i)
		out = append(out, change(object.KindService, ns, name, func(o metav1.ObjectMeta) any {
			s := &corev1.Service{ObjectMeta: o, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "tcp", Port: 9000}},
				ClusterIPs: []string{fmt.Sprintf("10.96.%d.%d", i>>8, i&255)}}}
			if m.dual {
				s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, fmt.Sprintf("fd00:96::%x", i+1))
			}
			s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
			return s
		}))
		if m.outlier {
			out = append(out, change(object.KindDestinationRule, ns, name, func(o metav1.ObjectMeta) any {
				return &networkingv1.DestinationRule{ObjectMeta: o, Spec: networking.DestinationRule{Host: name, TrafficPolicy: &networking.TrafficPolicy{
					OutlierDetection: &networking.OutlierDetection{Consecutive_5XxErrors: wrapperspb.UInt32(3)}}}}
			}))
		}
		for p := range 2 {
			out = append(out, m.pod(ns, fmt.Sprint(name, "-", p), name, 2*i+p))
		}
	}
	for i := range proxiesOf {
		out = append(out, m.pod(fmt.Sprint("ns", i%40), fmt.Sprint("client-", i), "client", 5000+i))
	}
	return out
}

const proxiesOf = 200

func (m meshOf) pod(ns, name, app string, n int) mesh.Change {
	return change(object.KindPod, ns, name, func(o metav1.ObjectMeta) any {
		o.Labels = map[string]string{"app": app}
		p := &corev1.Pod{ObjectMeta: o, Spec: corev1.PodSpec{NodeName: fmt.Sprint("n", n%3)}}
		p.Status.PodIP = fmt.Sprintf("10.1.%d.%d", n>>8, n&255)
		p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
		if m.dual {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: fmt.Sprintf("fd00:1::%x", n+1)})
		}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return p
	})
}

// held is what the engine holds for the proxies of the mesh, in MB.
func (m meshOf) held(t *testing.T) float64 {
	t.Helper()
	out := make(chan *mesh.World, 1)
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(w *mesh.World, _ *mesh.Dirty) { out <- w })
	go func() { _ = store.Run(t.Context()) }()
	store.Submit(m.changes())
	store.Synced()
	w := <-out
	before := heap()
	e := snapshot.NewEngine(slog.New(slog.DiscardHandler), nil, nil)
	e.Update(w, &mesh.Dirty{All: true})
	var views []*snapshot.View
	for i := range proxiesOf {
		n := 5000 + i
		v, err := e.Attach(t.Context(), &snapshot.Client{NodeID: fmt.Sprint(i), Role: snapshot.RoleSidecar, Namespace: fmt.Sprint("ns", i%40), Pod: fmt.Sprint("client-", i), IP: fmt.Sprintf("10.1.%d.%d", n>>8, n&255)})
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	size := heap() - before
	runtime.KeepAlive(views)
	runtime.KeepAlive(w)
	return size
}

// TestDualStackShares: proxies of a dual-stack mesh share what they are served as those of
// a single-stack one do, and those of one zone do where every rule has outlierDetection.
func TestDualStackShares(t *testing.T) {
	single := meshOf{}.held(t)
	for _, c := range []struct {
		what string
		of   meshOf
		most float64
	}{
		{"dual stack", meshOf{dual: true}, 2},
		{"outlierDetection on every rule", meshOf{outlier: true}, 3.5}, // once for each zone
		{"both", meshOf{dual: true, outlier: true}, 5},
	} {
		got := c.of.held(t)
		t.Logf("%s: %.1f MB for %d proxies, %.2f times the %.1f MB of a single-stack mesh", c.what, got, proxiesOf, got/single, single)
		if got > c.most*single {
			t.Errorf("%s: %.1f MB, more than %.1f times the %.1f MB of a single-stack mesh", c.what, got, c.most, single)
		}
	}
}
