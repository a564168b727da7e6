package translate

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

func TestLocalityMatches(t *testing.T) {
	at := registry.Locality{Region: "r1", Zone: "z1", SubZone: "s1"}
	for pattern, want := range map[string]bool{
		"*": true, "r1": true, "r1/*": true, "r1/z1": true, "r1/z1/*": true, "r1/z1/s1": true, "*/z1": true,
		"r2": false, "r1/z2": false, "r1/z1/s2": false, "": false, "r": false,
	} {
		if got := localityMatches(pattern, at); got != want {
			t.Errorf("%q covers %v: %v, want %v", pattern, at, got, want)
		}
	}
}

// TestByLocality is about row 53: how near a locality is.
func TestByLocality(t *testing.T) {
	client := registry.Locality{Region: "r1", Zone: "z1", SubZone: "s1"}
	failover := []*networking.LocalityLoadBalancerSetting_Failover{{From: "r9", To: "r2"}, {From: "r1", To: "r3"}, {From: "r1", To: "r2"}}
	for at, want := range map[registry.Locality]uint32{
		client: 0,
		{Region: "r1", Zone: "z1", SubZone: "s2"}: 1,
		{Region: "r1", Zone: "z1"}:                1,
		{Region: "r1", Zone: "z2", SubZone: "s1"}: 2,
		{Region: "r3", Zone: "z1", SubZone: "s1"}: 3,
		{Region: "r2", Zone: "z1", SubZone: "s1"}: 4,
		{}: 4,
	} {
		if got := byLocality(client, at, failover); got != want {
			t.Errorf("%v is %d away, want %d", at, got, want)
		}
	}
	if got := byLocality(client, registry.Locality{Region: "r2"}, nil); got != 3 {
		t.Errorf("without a failover another region is %d away, want 3", got)
	}
}

// TestLocated: an endpoint of which only the zone is known is in the client's region
// when it is in the client's zone.
func TestLocated(t *testing.T) {
	client := registry.Locality{Region: "r1", Zone: "z1", SubZone: "s1"}
	for _, c := range []struct{ endpoint, want registry.Locality }{
		{registry.Locality{Zone: "z1"}, registry.Locality{Region: "r1", Zone: "z1"}},
		{registry.Locality{Zone: "z2"}, registry.Locality{Zone: "z2"}},
		{registry.Locality{Region: "r2", Zone: "z1"}, registry.Locality{Region: "r2", Zone: "z1"}},
		{registry.Locality{}, registry.Locality{}},
	} {
		if got := located(c.endpoint, client); got != c.want {
			t.Errorf("%+v seen from %+v is %+v, want %+v", c.endpoint, client, got, c.want)
		}
	}
}

// TestByLabels is about row 55: the first label that differs decides.
func TestByLabels(t *testing.T) {
	rank := byLabels([]string{"team", "version=v2", labelZone}, clientLabels(Client{Locality: registry.Locality{Region: "r1", Zone: "z1"}, Labels: "team=blue,version=v1"}), registry.Locality{Region: "r1", Zone: "z1"})
	for _, c := range []struct {
		team, version, zone string
		want                uint32
	}{
		{"blue", "v2", "z1", 0}, {"blue", "v2", "z2", 1}, {"blue", "v1", "z1", 2}, {"red", "v2", "z1", 3}, {"", "", "", 3},
	} {
		e := &registry.Endpoint{Locality: registry.Locality{Zone: c.zone}, Workload: &registry.Workload{Labels: map[string]string{"team": c.team, "version": c.version}}}
		if got := rank(e); got != c.want {
			t.Errorf("%+v has rank %d", c, got)
		}
	}
}

// TestDistribute is about row 54: shares of patterns, divided by endpoints.
func TestDistribute(t *testing.T) {
	endpoints := func(spec ...string) (out []*registry.Endpoint) {
		for _, s := range spec {
			out = append(out, &registry.Endpoint{Locality: registry.Locality{Region: s[:2], Zone: s[3:]}})
		}
		return out
	}
	for _, c := range []struct {
		to   map[string]uint32
		has  []*registry.Endpoint
		want string
	}{
		{nil, endpoints("r1/a"), "map[]"},
		{map[string]uint32{"r1/a": 80, "r1/*": 20}, endpoints("r1/a", "r1/b", "r2/a"), "map[{r1 a }:8000 {r1 b }:2000]"},
		{map[string]uint32{"r1/*": 100}, endpoints("r1/a", "r1/a", "r1/a", "r1/b"), "map[{r1 a }:7500 {r1 b }:2500]"},
		{map[string]uint32{"r1/*": 100, "r2/*": 0}, endpoints("r2/a"), "map[]"},
		{map[string]uint32{"*": 100}, endpoints("r1/a", "r2/a", "r3/a"), "map[{r1 a }:3334 {r2 a }:3334 {r3 a }:3334]"},
	} {
		if d := cmp.Diff(c.want, fmt.Sprint(distribute(c.to, c.has))); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.to, d)
		}
	}
}
