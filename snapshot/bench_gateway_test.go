package snapshot_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// gatewayOf is a Gateway for the pod gw, of one API or the other.
func gatewayOf(api bool) []mesh.Change {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "gw", Labels: map[string]string{"app": "gw", "gateway.networking.k8s.io/gateway-name": "front"}}}
	pod.Status.PodIP = "10.1.0.1"
	out := []mesh.Change{{Ref: object.Ref{Kind: object.KindPod, Namespace: "ns0", Name: "gw"}, Object: pod}}
	meta := metav1.ObjectMeta{Namespace: "ns0", Name: "front"}
	if api {
		return append(out, mesh.Change{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "ns0", Name: "front"}, Object: &gatewayv1.Gateway{ObjectMeta: meta, Spec: gatewayv1.GatewaySpec{
			GatewayClassName: "istio", Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}}})
	}
	return append(out, mesh.Change{Ref: object.Ref{Kind: object.KindGateway, Namespace: "ns0", Name: "front"}, Object: &networkingv1.Gateway{ObjectMeta: meta, Spec: networking.Gateway{
		Selector: map[string]string{"app": "gw"}, Servers: []*networking.Server{{Port: &networking.Port{Number: 80, Name: "http", Protocol: "HTTP"}, Hosts: []string{"*"}}}}}})
}

// gatewayRoute leads a host of the Gateway to a service, by a path that is new with each
// version.
func gatewayRoute(api bool, i, version int) mesh.Change {
	meta := metav1.ObjectMeta{Namespace: "ns0", Name: fmt.Sprint("r", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}
	host, path := fmt.Sprintf("h%d.example", i), fmt.Sprint("/v", version)
	if api {
		port := gatewayv1.PortNumber(8080)
		rule := gatewayv1.HTTPRouteRule{Matches: []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Value: &path}}}}
		rule.BackendRefs = []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "s0", Port: &port}}}}
		o := &gatewayv1.HTTPRoute{ObjectMeta: meta, Spec: gatewayv1.HTTPRouteSpec{Hostnames: []gatewayv1.Hostname{gatewayv1.Hostname(host)}, Rules: []gatewayv1.HTTPRouteRule{rule}}}
		o.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "front"}}
		return mesh.Change{Ref: object.Ref{Kind: object.KindHTTPRoute, Namespace: "ns0", Name: meta.Name}, Object: o}
	}
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "ns0", Name: meta.Name}, Object: &networkingv1.VirtualService{ObjectMeta: meta, Spec: networking.VirtualService{
		Hosts: []string{host}, Gateways: []string{"front"},
		Http: []*networking.HTTPRoute{{
			Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: path}}}},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "s0.ns0.svc.cluster.local"}}},
		}}}}}
}

func attachGateway(b *testing.B, e *snapshot.Engine) *snapshot.View {
	b.Helper()
	v, err := e.Attach(b.Context(), &snapshot.Client{NodeID: "gw", Role: snapshot.RoleRouter, Namespace: "ns0", Pod: "gw", IP: "10.1.0.1", Labels: map[string]string{"app": "gw", "gateway.networking.k8s.io/gateway-name": "front"}})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// BenchmarkGatewayRoute is one changed route of many on one gateway, from its object to
// what the gateway is to hold: an HTTPRoute beside a VirtualService.
func BenchmarkGatewayRoute(b *testing.B) {
	for _, n := range []int{500, 5000} {
		for _, api := range []bool{false, true} {
			kind := map[bool]string{false: "VirtualService", true: "HTTPRoute"}[api]
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				p := newPasses(b, 10)
				e := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, nil)
				first := <-p.out
				e.Update(first.world, first.dirty)
				all := gatewayOf(api)
				for i := range n {
					all = append(all, gatewayRoute(api, i, 0))
				}
				p.store.Submit(all)
				for v := (*snapshot.View)(nil); v == nil || v.Current().Len(snapshot.VirtualHost) < n; { // it takes several passes
					next := <-p.out
					e.Update(next.world, next.dirty)
					if v == nil {
						v = attachGateway(b, e)
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i++
					p.store.Submit([]mesh.Change{gatewayRoute(api, n/2, i)})
					next := <-p.out
					e.Update(next.world, next.dirty)
				}
			})
		}
	}
}
