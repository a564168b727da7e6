package translate

import (
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestOnlyWhoAddsServersLosesThem: listeners of another namespace's ListenerSet, and routes of
// a third that add servers to the Gateway's own listener, take no room from the Gateway's,
// though all trust the same; of two ListenerSets the younger loses those that do not fit.
func TestOnlyWhoAddsServersLosesThem(t *testing.T) {
	roots := object.NewAuthorities("infra", nil, []string{strings.Repeat("x", 256<<10)})
	declarer := func(kind object.Kind, namespace, name string, age int64) *traffic.Gateway {
		return &traffic.Gateway{Ref: object.Ref{Kind: kind, Namespace: namespace, Name: name}, Namespace: namespace, Created: time.Unix(age, 0)}
	}
	gateway := declarer(object.KindKubeGateway, "infra", "gw", 9)
	first, second := declarer(object.KindListenerSet, "tenant", "first", 1), declarer(object.KindListenerSet, "tenant", "second", 2)
	route := &traffic.VirtualService{Ref: object.Ref{Kind: object.KindTLSRoute, Namespace: "other", Name: "many"}, Created: time.Unix(3, 0)}
	var servers []*traffic.Server
	add := func(n int, s traffic.Server) {
		for range n {
			one := s
			one.ClientRoots = roots
			servers = append(servers, &one)
		}
	}
	add(200, traffic.Server{Gateway: second, Protocol: object.ProtocolHTTPS})
	add(200, traffic.Server{Gateway: first, Protocol: object.ProtocolHTTPS})
	add(400, traffic.Server{Gateway: gateway, Protocol: object.ProtocolTLS, Bound: []traffic.Bound{{VirtualService: route}}})
	add(60, traffic.Server{Gateway: gateway, Protocol: object.ProtocolHTTPS, Bound: []traffic.Bound{{VirtualService: route}}})
	lost := map[object.Ref]int{}
	for s, winner := range trustTooMuch([]mesh.RouterPort{{Servers: servers}}) {
		by, _ := madeBy(s)
		if lost[by]++; by.Namespace != winner.Namespace {
			t.Errorf("%s has lost to %s", by, winner)
		}
	}
	// 512 fit in all: 60, and half of the rest for each of the others.
	if lost[gateway.Ref] != 0 || lost[first.Ref] != 0 || lost[second.Ref] != 174 || lost[route.Ref] != 174 {
		t.Errorf("servers are lost of %v", lost)
	}
}
