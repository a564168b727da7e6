package issuers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	oneKey   = `{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	otherKey = `{"kty":"OKP","crv":"Ed25519","kid":"other","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
)

// bed is an issuer on loopback, and a source that asks it.
type bed struct {
	*httptest.Server
	source *Source
	mux    *http.ServeMux

	mu  sync.Mutex
	now map[string]*mesh.IssuerKeys
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{mux: http.NewServeMux(), now: map[string]*mesh.IssuerKeys{}}
	b.Server = httptest.NewTLSServer(b.mux)
	t.Cleanup(b.Close)
	b.source = New(func(changes []mesh.Change) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range changes {
			b.now[c.Ref.Name], _ = c.Object.(*mesh.IssuerKeys)
		}
	}, rootsOf(b.Server))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.source.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return b
}

func rootsOf(s *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

// serve has the issuer say something under a path.
func (b *bed) serve(path, text string) {
	b.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// want has the source ask for what a world's policies name, with some settings.
func (b *bed) want(t *testing.T, settings string, issuers ...string) {
	t.Helper()
	b.source.Want(worldOf(t, settings, issuers...))
}

func worldOf(t *testing.T, settings string, issuers ...string) *mesh.World {
	t.Helper()
	changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: " + settings)}}
	for i, issuer := range issuers {
		objects, _, err := informers.Parse([]byte(fmt.Sprintf(`{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a%d, namespace: shop}, spec: {jwtRules: [{issuer: %q}]}}`, i, issuer)))
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, objects[0].Change)
	}
	return mesh.Build(changes)
}

// until waits for what came of asking an issuer.
func (b *bed) until(t *testing.T, issuer, what string, ok func(*mesh.IssuerKeys) bool) {
	t.Helper()
	var k *mesh.IssuerKeys
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		k = b.now[issuer]
		b.mu.Unlock()
		if ok(k) {
			return
		}
	}
	t.Fatalf("%s: %s: %+v", issuer, what, k)
}

// onLoopback allows the issuers of these tests.
const onLoopback = `{issuerAddresses: "127.0.0.0/8, ::1/128"}`

func TestKeysAreDiscovered(t *testing.T) {
	b := newBed(t)
	b.serve("/good"+discoveryPath, `{"issuer": "`+b.URL+`/good", "jwks_uri": "`+b.URL+`/keys"}`)
	b.serve("/keys", `{"keys": [{"kty":"oct","k":"c2VjcmV0"}, `+oneKey+`]}`)
	b.want(t, onLoopback, b.URL+"/good")
	b.until(t, b.URL+"/good", "no keys", func(k *mesh.IssuerKeys) bool {
		return k != nil && k.Problem == "" && strings.Contains(k.Keys, `"kid":"one"`) && !strings.Contains(k.Keys, "oct")
	})
	b.want(t, onLoopback) // nobody names it any more
	b.until(t, b.URL+"/good", "still there", func(k *mesh.IssuerKeys) bool { return k == nil })
}

// TestForgottenWithSettings: an issuer that nobody names any more is forgotten, also when
// settings change at the same time.
func TestForgottenWithSettings(t *testing.T) {
	b := newBed(t)
	b.want(t, onLoopback, b.URL)
	b.until(t, b.URL, "asked", func(k *mesh.IssuerKeys) bool { return k != nil })
	b.want(t, `{issuerAddresses: "127.0.0.0/8"}`)
	b.until(t, b.URL, "still there", func(k *mesh.IssuerKeys) bool { return k == nil })
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	if len(b.source.known)+len(b.source.tries) != 0 {
		t.Errorf("known: %v, tried: %v", b.source.known, b.source.tries)
	}
}

// TestIssuersThatAreNoGood are told why, and the others have their keys all the same.
func TestIssuersThatAreNoGood(t *testing.T) {
	b := newBed(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	cases := map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		says   string
	}{
		"missing":  {http.NotFound, "it answers 404"},
		"nonsense": {says: "names no jwks_uri", answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }},
		"huge": {says: "more than 1048576 bytes", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(strings.Repeat("x", 2<<20)))
		}},
		"hangs":    {says: "does not answer within 5s", answer: func(http.ResponseWriter, *http.Request) { <-hang }},
		"plain":    {says: "leads to what is no https URL", answer: http.RedirectHandler("http://login.example/", http.StatusFound).ServeHTTP},
		"circles":  {says: "redirects more than 3 times", answer: http.RedirectHandler("/circles"+discoveryPath, http.StatusFound).ServeHTTP},
		"inside":   {says: "a loopback address", answer: http.RedirectHandler("https://[::1]:1/", http.StatusFound).ServeHTTP},
		"metadata": {says: "a link-local address", answer: http.RedirectHandler("https://169.254.169.254/", http.StatusFound).ServeHTTP},
		"private":  {says: "a private network", answer: http.RedirectHandler("https://10.96.0.1/", http.StatusFound).ServeHTTP},
		"keyswrong": {says: "its jwks_uri: it leads to what is no https URL", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer": "`+b.URL+`/keyswrong", "jwks_uri": "http://login.example"}`)
		}},
		"nokeys": {says: "no public key", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer": "`+b.URL+`/nokeys", "jwks_uri": "`+b.URL+`/symmetric"}`)
		}},
		"another": {says: "is of another issuer, or of none", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer": "`+b.URL+`/another/", "jwks_uri": "`+b.URL+`/symmetric"}`)
		}},
		"nobodys": {says: "is of another issuer, or of none", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"jwks_uri": "`+b.URL+`/symmetric"}`)
		}},
	}
	b.serve("/symmetric", `{"keys": [{"kty":"oct","k":"c2VjcmV0"}]}`)
	var all []string
	for name, c := range cases {
		b.mux.HandleFunc("/"+name+discoveryPath, c.answer)
		all = append(all, b.URL+"/"+name)
	}
	b.want(t, `{issuerAddresses: "127.0.0.1/32"}`, all...)
	for name, c := range cases {
		b.until(t, b.URL+"/"+name, "want "+c.says, func(k *mesh.IssuerKeys) bool {
			return k != nil && k.Keys == "" && !k.Since.IsZero() && strings.Contains(k.Problem, c.says)
		})
	}
}

// TestKeysStayAndChange: when an issuer fails its last keys stay, with the reason; when it
// comes back its new ones are in force.
func TestKeysStayAndChange(t *testing.T) {
	b := newBed(t)
	var phase atomic.Int32
	b.mux.HandleFunc(discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		if phase.Load() == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"issuer": "`+b.URL+`", "jwks_uri": "`+b.URL+`/keys"}`)
	})
	b.mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys": [%s]}`, map[bool]string{true: oneKey, false: otherKey}[phase.Load() == 0])
	})
	settings := func(more string) string { return `{issuerAddresses: "127.0.0.0/8", issuerRefresh: ` + more + `}` }
	b.want(t, settings("5s"), b.URL)
	b.until(t, b.URL, "first keys", func(k *mesh.IssuerKeys) bool { return k != nil && strings.Contains(k.Keys, `"one"`) })
	phase.Store(1)
	b.want(t, settings("6s"), b.URL) // asks again at once
	b.until(t, b.URL, "keys of before", func(k *mesh.IssuerKeys) bool {
		return strings.Contains(k.Keys, `"one"`) && strings.Contains(k.Problem, "it answers 503")
	})
	phase.Store(2)
	b.until(t, b.URL, "new keys", func(k *mesh.IssuerKeys) bool {
		return strings.Contains(k.Keys, `"other"`) && k.Problem == "" && k.Since.IsZero()
	})
}

// TestAddressesAreLookedAtWhenDialled: whatever a name is resolved to, the address itself is
// looked at, so that one which changes in between gains nothing.
func TestAddressesAreLookedAtWhenDialled(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	var dialled []netip.Addr
	client := newAsker(func(a netip.Addr) string { dialled = append(dialled, a); return "an address of a test" }, rootsOf(s))
	_, err := client.ask(t.Context(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	if err == nil || !strings.Contains(err.Error(), "an address of a test") {
		t.Errorf("%v", err)
	}
	for _, a := range dialled {
		if !a.IsLoopback() {
			t.Errorf("looked at %s", a)
		}
	}
	if len(dialled) == 0 {
		t.Error("nothing was looked at")
	}
}

// TestCertificatesOfIssuersAreVerified: who is not who its name says has no keys.
func TestCertificatesOfIssuersAreVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{}
	s.StartTLS()
	defer s.Close()
	_, err := newAsker(func(netip.Addr) string { return "" }, x509.NewCertPool()).ask(t.Context(), s.URL)
	if err == nil || !strings.Contains(err.Error(), "its certificate is not verified") {
		t.Errorf("%v", err)
	}
}

// TestExpiredIssuers: what is wrong with a certificate out of its time is told in the same
// words each time.
func TestExpiredIssuers(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	defer s.Close()
	_, err = newAsker(func(netip.Addr) string { return "" }, rootsOf(s)).ask(t.Context(), s.URL)
	if want := "its certificate is not verified: it has expired or is not yet valid"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestAskedAtATime: of one namespace no more issuers are asked at a time than may be.
func TestAskedAtATime(t *testing.T) {
	b := newBed(t)
	var now, most atomic.Int32
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	b.mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	})
	var all []string
	for i := range 3 * maxAskedEach {
		all = append(all, fmt.Sprintf("%s/%d", b.URL, i))
	}
	b.want(t, onLoopback, all...)
	time.Sleep(askTime / 2) // none of the first has been given up
	if most.Load() > maxAskedEach {
		t.Errorf("%d at a time, %d may be", most.Load(), maxAskedEach)
	}
}

// TestSlowIssuersOfOthers: issuers that do not answer, of a good many namespaces,
// delay the keys of no other namespace, also where an older one names the same issuer
// behind its slow ones.
func TestSlowIssuersOfOthers(t *testing.T) {
	b := newBed(t)
	b.source.asker.patience = time.Hour // slow ones are never given up
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	var waiting atomic.Int32
	b.mux.HandleFunc("/slow/", func(_ http.ResponseWriter, r *http.Request) {
		waiting.Add(1)
		defer waiting.Add(-1)
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	})
	for _, name := range []string{"/quick", "/shared"} {
		b.serve(name+discoveryPath, `{"issuer": "`+b.URL+name+`", "jwks_uri": "`+b.URL+`/keys"}`)
	}
	b.serve("/keys", `{"keys": [`+oneKey+`]}`)
	const slow = 5
	changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: " + onLoopback)}}
	add := func(namespace, age string, issuers ...string) {
		var rules []string
		for _, i := range issuers {
			rules = append(rules, fmt.Sprintf("{issuer: %q}", b.URL+i))
		}
		objects, _, err := informers.Parse([]byte(fmt.Sprintf(`{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a, namespace: %s, creationTimestamp: %q}, spec: {jwtRules: [%s]}}`, namespace, age, strings.Join(rules, ", "))))
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, objects[0].Change)
	}
	for n := range slow {
		add(fmt.Sprint("slow-", n), "2020-01-01T00:00:00Z", fmt.Sprintf("/slow/%d-a", n), fmt.Sprintf("/slow/%d-b", n), fmt.Sprintf("/slow/%d-c", n), "/shared")
	}
	b.source.Want(mesh.Build(changes))
	for end := time.Now().Add(time.Minute); waiting.Load() < slow*maxAskedEach; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d slow issuers are asked", waiting.Load())
		}
	}
	add("shop", "2021-01-01T00:00:00Z", "/quick", "/shared")
	b.source.Want(mesh.Build(changes))
	for _, name := range []string{"/quick", "/shared"} {
		b.until(t, b.URL+name, "no keys", func(k *mesh.IssuerKeys) bool { return k != nil && k.Keys != "" })
	}
	if n := waiting.Load(); n != slow*maxAskedEach {
		t.Errorf("%d slow issuers are asked", n)
	}
}
