package debug

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// from asks a handler as somebody at the address.
func from(h http.Handler, address, path, token string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.RemoteAddr = address
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.5:15014")))))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	return w.Code, string(body)
}

func handler(authorize Authorize) http.Handler {
	return Handler(Config{
		Metrics: prometheus.NewRegistry(), Ready: func() error { return nil }, Views: func() []View { return nil },
		Findings: func() []object.Finding { return nil }, Proxies: func() []discovery.ProxyState { return nil },
		World: func() *mesh.World { return nil }, Dump: func(string, bool) (any, error) { return nil, errors.New("none") }, Authorize: authorize,
	})
}

func TestWhoMayReadForDebugging(t *testing.T) {
	const elsewhere, forwarded, same = "10.0.0.9:40000", "127.0.0.1:40000", "10.0.0.5:40000"
	asked := ""
	h := handler(func(_ context.Context, token, path string) error {
		asked = path
		switch token {
		case "admin":
			return nil
		case "reader":
			return ErrForbidden
		case "lost":
			return errors.New("the API server is away")
		}
		return ErrUnknown
	})
	for _, c := range []struct {
		at, path, token string
		want            int
	}{
		{elsewhere, "/debug/syncz", "", 401},
		{elsewhere, "/debug/syncz", "nonsense", 401},
		{elsewhere, "/debug/syncz", "reader", 403},
		{elsewhere, "/debug/syncz", "lost", 503},
		{elsewhere, "/debug/syncz", "admin", 200},
		{elsewhere, "/debug/pprof/", "", 401},
		{elsewhere, "/debug/", "", 401},
		{forwarded, "/debug/syncz", "", 200},
		{same, "/debug/findings", "", 200},
		{elsewhere, "/metrics", "", 200},
		{elsewhere, "/healthz", "", 200},
		{elsewhere, "/readyz", "", 200},
		{"[::ffff:127.0.0.1]:1", "/debug/registryz", "", 200},
		{"", "/debug/syncz", "", 401},
	} {
		if code, body := from(h, c.at, c.path, c.token); code != c.want {
			t.Errorf("%s from %q with %q: %d, want %d: %s", c.path, c.at, c.token, code, c.want, body)
		}
	}
	if asked != "/debug/syncz" {
		t.Errorf("asked about %q", asked)
	}
	if code, body := from(handler(nil), elsewhere, "/debug/syncz", "admin"); code != 403 || !strings.Contains(body, "this machine") {
		t.Errorf("without Kubernetes: %d %s", code, body)
	}
	// No other way leads past the guard.
	for _, path := range []string{"//debug/syncz", "/./debug/syncz", "/debug/../debug/syncz", "/debug//syncz"} {
		if code, _ := from(h, elsewhere, path, ""); code == 200 {
			t.Errorf("%s is open", path)
		}
	}
}

func TestEndpointsOfNoWorld(t *testing.T) {
	if code, body := from(handler(nil), "127.0.0.1:1", "/debug/endpointz", ""); code != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("%d %s", code, body)
	}
}

// TestStaleViewIsDegraded: an old view is told and is no reason not to be ready.
func TestStaleViewIsDegraded(t *testing.T) {
	views := []View{{Kind: "Pod", AgeSeconds: 93.4, Stale: true, Problem: "gone"}, {Kind: "Node", AgeSeconds: 3}, {Kind: "Service", AgeSeconds: 90, Stale: true, Problem: "gone"}}
	h := Handler(Config{
		Metrics: prometheus.NewRegistry(), Ready: func() error { return nil }, Views: func() []View { return views },
		Findings: func() []object.Finding { return nil }, Proxies: func() []discovery.ProxyState { return nil },
		World: func() *mesh.World { return nil }, Dump: func(string, bool) (any, error) { return nil, errors.New("none") },
	})
	code, body := from(h, "10.0.0.9:1", "/readyz", "")
	want := "ok\ndegraded: the view of the API server is old; proxies are served what was read last\n1m33s: gone: Pod, Service\n"
	if code != 200 || body != want {
		t.Errorf("%d %q, want %q", code, body, want)
	}
	if code, body := from(h, "127.0.0.1:1", "/debug/viewz", ""); code != 200 || !strings.Contains(body, `"kind": "Node"`) {
		t.Errorf("%d %s", code, body)
	}
	views = views[1:2]
	if _, body := from(h, "10.0.0.9:1", "/readyz", ""); body != "ok\n" {
		t.Errorf("fresh: %q", body)
	}
}
