package translate

import (
	"math"
	"slices"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestWeightsKeepTheirRatio: weights that are too large together are scaled, and not cut,
// wherever weights are.
func TestWeightsKeepTheirRatio(t *testing.T) {
	for _, c := range []struct{ in, want []uint64 }{
		{[]uint64{4e9, 1e9}, []uint64{4, 1}},
		{[]uint64{2e9, 2e9, 2e9}, []uint64{1, 1, 1}},
		{[]uint64{math.MaxUint32, math.MaxUint32}, []uint64{1, 1}},
		{[]uint64{3e9, 1e9}, []uint64{3, 1}},
		{[]uint64{90, 10}, []uint64{9, 1}},
		{slices.Repeat([]uint64{1e9}, 1000), slices.Repeat([]uint64{1}, 1000)},
	} {
		out := scaledWeights(c.in)
		sum, want := uint64(0), uint64(0)
		for i := range out {
			sum += uint64(out[i])
			want += c.want[i]
		}
		if sum > math.MaxUint32 {
			t.Errorf("%v: together %d", c.in, sum)
		}
		for i := range out {
			if share, would := float64(out[i])/float64(sum), float64(c.want[i])/float64(want); math.Abs(share-would) > 1e-6 {
				t.Errorf("%v: share %d is %f, want %f", c.in, i, share, would)
			}
		}
	}
	if out := scaledWeights([]uint64{math.MaxUint32, 1, 0}); out[1] != 1 || out[2] != 0 {
		t.Errorf("%v: small weights vanish, or zero is something", out)
	}
}

// TestLargeWeightsEverywhere: endpoints, localities, and the destinations of routes.
func TestLargeWeightsEverywhere(t *testing.T) {
	in := serversInput(2)
	for i, w := range []uint32{4e9, 1e9} {
		in.Endpoints.Endpoints[i].Weight, in.Endpoints.Endpoints[i].Locality = w, registry.Locality{}
	}
	var endpoints []uint32
	for _, e := range Endpoints(in).Endpoints[0].LbEndpoints {
		endpoints = append(endpoints, e.LoadBalancingWeight.GetValue())
	}
	ratio(t, "endpoints", endpoints, 4, 1)

	near, far := registry.Locality{Region: "near"}, registry.Locality{Region: "far"}
	weights := distribute(map[string]uint32{"near": 4e9, "far": 1e9}, []*registry.Endpoint{{Locality: near}, {Locality: far}})
	ratio(t, "localities", []uint32{weights[near], weights[far]}, 4, 1)

	world := `
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: tcp, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}, {name: tcp, port: 81}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http: [{route: [{destination: {host: a}, weight: 2000000000}, {destination: {host: b}, weight: 2000000000}, {destination: {host: a, port: {number: 80}}, weight: 2000000000}]}]
  tcp: [{route: [{destination: {host: a}, weight: 2000000000}, {destination: {host: b}, weight: 2000000000}, {destination: {host: a, port: {number: 81}}, weight: 2000000000}]}]`
	v := routeWorld(t, world, "default", "")
	for f := range v.Findings() {
		t.Errorf("finding: %v", f)
	}
	plan := ResolveHost(v, "a.default.svc.cluster.local")
	for _, vh := range plan.VirtualHosts {
		made, findings := VirtualHost(vh)
		if len(findings) > 0 {
			t.Errorf("findings %v", findings)
		}
		var got []uint32
		for _, c := range made.Routes[0].GetAction().(*routev3.Route_Route).Route.GetWeightedClusters().GetClusters() {
			got = append(got, c.Weight.GetValue())
		}
		ratio(t, "http", got, 1, 1, 1)
	}
	for _, c := range plan.Claims {
		if c.Kind != ClaimTCP {
			continue
		}
		p := &tcpv3.TcpProxy{}
		setClusters(p, TCPProxyInput{Clusters: c.Chains[0].Clusters})
		var got []uint32
		for _, w := range p.GetWeightedClusters().GetClusters() {
			got = append(got, w.Weight)
		}
		ratio(t, "tcp", got, 1, 1, 1)
	}
}

func ratio(t *testing.T, what string, got []uint32, want ...float64) {
	t.Helper()
	sum, all := 0.0, 0.0
	for _, w := range got {
		sum += float64(w)
	}
	for _, w := range want {
		all += w
	}
	if len(got) != len(want) || sum > math.MaxUint32 {
		t.Errorf("%s: weights %v", what, got)
		return
	}
	for i := range got {
		if math.Abs(float64(got[i])/sum-want[i]/all) > 1e-6 {
			t.Errorf("%s: weights %v, want %v", what, got, want)
		}
	}
}
