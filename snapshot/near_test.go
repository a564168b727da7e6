package snapshot

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// TestNearHost: a virtual host with names of one namespace is what translate
// makes of them, keeps no bytes of its own, and is the same one again.
func TestNearHost(t *testing.T) {
	memo := NewMemo()
	service := &registry.Service{Host: "a.shop.svc.cluster.local", Ref: object.Ref{Kind: object.KindService, Namespace: "shop", Name: "a"}, Ports: []registry.Port{{Number: 80, Protocol: object.ProtocolHTTP}}}
	in := translate.VirtualHostInput{
		Config: "80", Name: service.Host, Service: service, Port: 80,
		Domains: translate.Domains{Wide: []string{service.Host, "a.shop"}, Near: []string{"a", "alias"}},
		Route:   translate.RouteInput{Port: 80, Config: mesh.DefaultConfig(), Destinations: map[string]translate.Destination{service.Host: {Service: service}}},
	}
	var u uses
	r, _ := memo.virtualHost(&u, in, nil)
	if r.body != nil || r.entry != nil {
		t.Error("its bytes are kept")
	}
	want, _ := translate.VirtualHost(in)
	got := &routev3.VirtualHost{}
	if err := proto.Unmarshal(r.Body(), got); err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if r.Version != versionOf(r.Body()) || len(r.Owners) != 1 {
		t.Errorf("version %s, owners %v", r.Version, r.Owners)
	}
	in.Domains.Near = nil
	wide, _ := memo.virtualHost(&u, in, nil)
	if wide.entry == nil || wide.Same(r) || len(memo.known) != 1 {
		t.Errorf("%d were built", len(memo.known))
	}
	for _, c := range []struct {
		names []string
		same  bool
	}{{[]string{"a", "alias"}, true}, {[]string{"a"}, false}} {
		in.Domains.Near = c.names
		if again, _ := memo.virtualHost(&u, in, []*Resource{wide, r}); (again == r) != c.same {
			t.Errorf("%v: made anew %t", c.names, again != r)
		}
	}
}
