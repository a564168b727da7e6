package conformance

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

// TestIssuersAreAskedForTheirKeys: tokens of an issuer that a RequestAuthentication names
// alone are good when they are signed with what its discovery document leads to, and with
// nothing else; whoever cannot say its keys, or stands where nobody is asked, has no good
// tokens, and takes nothing from the others.
func TestIssuersAreAskedForTheirKeys(t *testing.T) {
	t.Parallel()
	const at = "https://10.244.0.1:8443"
	w := newWorld(t, localtest.Need(t), "delta")
	before, after := issuer(), newAuthority()
	var keys atomic.Pointer[string]
	keys.Store(&before.keys)
	serveIssuers(t, w, at, &keys)

	token := func(a *authority, path string) request {
		return request{URL: "http://server/", Headers: map[string]string{"authorization": "Bearer " + a.token(map[string]any{"iss": at + path, "sub": "alice"})}, Within: 30 * time.Second}
	}
	is := func(r request, status int) request {
		r.Want.Status = status
		return r
	}
	refused := []request{is(token(after, "/good"), 401), is(token(before, "/hangs"), 401), is(token(before, "/huge"), 401), is(token(before, "/inside"), 401)}
	objects := func(files ...string) (s step) {
		for _, f := range files {
			o, err := readObjects("testdata/" + f)
			if err != nil {
				t.Fatal(err)
			}
			s.objects = append(s.objects, o...)
		}
		return s
	}

	s := objects("worlds/sleep.yaml", "issuers/world.yaml")
	s.Requests = append([]request{is(request{URL: "http://server/"}, 200), is(token(before, "/good"), 401)}, refused...)
	s.Findings = []string{"the control plane gets no keys of issuer", "it is at an address of a private network"}
	if !w.run(t, 0, s) {
		return
	}
	s = objects("issuers/allowed.yaml")
	s.Under = []string{"http://server/"}
	s.Requests = append([]request{is(token(before, "/good"), 200)}, refused...)
	s.Findings = []string{"it does not answer within 5s", "it answers more than 1048576 bytes", "it is at a loopback address"}
	if !w.run(t, 1, s) {
		return
	}
	keys.Store(&after.keys)
	w.run(t, 2, step{Requests: []request{is(token(after, "/good"), 200), is(token(before, "/good"), 401), is(request{URL: "http://server/"}, 200)}})
	w.checkRefusals(t, nil)
}

// serveIssuers are one issuer with the keys, and some that are no good.
func serveIssuers(t *testing.T, w *world, at string, keys *atomic.Pointer[string]) {
	t.Helper()
	const discovery = "/.well-known/openid-configuration"
	mux := http.NewServeMux()
	mux.HandleFunc("/good"+discovery, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, at+"/good", at+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *keys.Load()) })
	mux.HandleFunc("/hangs/", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/huge/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 2<<20)) })
	mux.Handle("/inside/", http.RedirectHandler("https://127.0.0.1:15014/debug/findings", http.StatusFound))
	cert, key := issuer().certificate(routerAddress.String())
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := w.router.Namespace.Listen("tcp", strings.TrimPrefix(at, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
}
