package registry

import (
	"net/netip"
	"testing"
)

func TestSession(t *testing.T) {
	for _, c := range []struct {
		labels map[string]string
		kind   SessionKind
		name   string
	}{
		{nil, SessionNone, ""},
		{map[string]string{"istio.io/persistent-session": "id"}, SessionCookie, "id"},
		{map[string]string{"istio.io/persistent-session-header": "x-id"}, SessionHeader, "x-id"},
		{map[string]string{"istio.io/persistent-session": "id", "istio.io/persistent-session-header": "x-id"}, SessionCookie, "id"},
		{map[string]string{"istio.io/persistent-session-header": "host"}, SessionNone, ""},
	} {
		if kind, name := (&Service{Labels: c.labels}).Session(); kind != c.kind || name != c.name {
			t.Errorf("%v: got %d %q", c.labels, kind, name)
		}
	}
}

// TestEndpointsOfSessionsDrain: a Pod that ends and still answers stays an
// endpoint of services with sessions, for these alone.
func TestEndpointsOfSessionsDrain(t *testing.T) {
	pod := func(ready bool) *Workload {
		return &Workload{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Terminating: true, Ready: ready}
	}
	with := &Service{Labels: map[string]string{"istio.io/persistent-session": "id"}}
	if e, ok := EndpointOfPod(with, pod(true)); !ok || !e.Draining {
		t.Errorf("with sessions: %v, %+v", ok, e)
	}
	if _, ok := EndpointOfPod(with, pod(false)); ok {
		t.Error("with sessions, not ready: is an endpoint")
	}
	if _, ok := EndpointOfPod(&Service{}, pod(true)); ok {
		t.Error("without sessions: is an endpoint")
	}
}
