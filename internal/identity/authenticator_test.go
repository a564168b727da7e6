package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// jwt is a token with the claims that the API server puts there, unsigned:
// whether it is signed well is the reviewer's business.
func jwt(aud any, expires time.Time, salt string) string {
	payload, err := json.Marshal(map[string]any{"aud": aud, "exp": expires.Unix(), "sub": salt})
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2lnbmF0dXJl"
}

func bearer(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}

var sleep = Review{Namespace: "default", ServiceAccount: "sleep", Pod: "sleep-1", PodUID: "u1", Audiences: []string{"fairway"}}

// reviewer counts questions and answers them.
type reviewer struct {
	asked  atomic.Int32
	answer func(token string) (Review, error)
}

func (r *reviewer) review(_ context.Context, token string, _ []string) (Review, error) {
	r.asked.Add(1)
	return r.answer(token)
}

func authenticator(t *testing.T, answer func(string) (Review, error)) (*Authenticator, *reviewer) {
	t.Helper()
	r := &reviewer{answer: answer}
	a, err := NewAuthenticator(AuthenticatorOptions{Review: r.review, TrustDomain: func() string { return "cluster.local" }, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return a, r
}

func refused(t *testing.T, err error, want Reason, secrets ...string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want the refusal %s", err, want)
	}
	if r.Reason != want {
		t.Errorf("refused as %s (%s), want %s", r.Reason, r.Message, want)
	}
	code := codes.Unauthenticated
	if want == ReasonUnavailable {
		code = codes.Unavailable
	}
	if got := status.Code(err); got != code {
		t.Errorf("as gRPC status it is %s, want %s", got, code)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the refusal shows the token: %s", err)
		}
	}
}

func TestTokenAccepted(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, aud := range []any{"fairway", []string{"other", "fairway"}} {
		for _, header := range []string{"Bearer %s", "bearer  %s ", "%s"} {
			a, r := authenticator(t, func(string) (Review, error) { return sleep, nil })
			token := jwt(aud, expires, "")
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", fmt.Sprintf(header, token)))
			for range 3 {
				p, err := a.Authenticate(ctx)
				want := Peer{ID{"cluster.local", "default", "sleep"}, "sleep-1", "u1", expires}
				if err != nil || p != want {
					t.Fatalf("%q: %v, %v, want %v", header, p, err, want)
				}
			}
			if n := r.asked.Load(); n != 1 {
				t.Errorf("%d reviews of one token", n)
			}
		}
	}
}

func TestTokenRefused(t *testing.T) {
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	good := jwt("fairway", in(time.Hour), "")
	answer := func(r Review, err error) func(string) (Review, error) {
		return func(string) (Review, error) { return r, err }
	}
	noPod, noAudience := sleep, sleep
	noPod.Pod, noPod.PodUID, noAudience.Audiences = "", "", nil
	for name, row := range map[string]struct {
		headers []string
		answer  func(string) (Review, error)
		want    Reason
	}{
		"no header":          {nil, nil, ReasonNoCredential},
		"empty header":       {[]string{""}, nil, ReasonNoCredential},
		"scheme only":        {[]string{"Bearer "}, nil, ReasonNoCredential},
		"two headers":        {[]string{"Bearer " + good, "Bearer " + good}, nil, ReasonMalformed},
		"other scheme":       {[]string{"Basic " + good}, nil, ReasonMalformed},
		"no JWT":             {[]string{"Bearer abcdefgh"}, nil, ReasonMalformed},
		"JWT of no JSON":     {[]string{"Bearer e30.AAAAAAAA.c2ln"}, nil, ReasonMalformed},
		"too long":           {[]string{"Bearer " + strings.Repeat("a", maxToken+1)}, nil, ReasonMalformed},
		"control characters": {[]string{"Bearer a\x01b"}, nil, ReasonMalformed},
		"other audience":     {[]string{"Bearer " + jwt("istio-ca", in(time.Hour), "")}, nil, ReasonAudience},
		"no audience":        {[]string{"Bearer " + jwt(nil, in(time.Hour), "")}, nil, ReasonAudience},
		"expired":            {[]string{"Bearer " + jwt("fairway", in(-time.Second), "")}, nil, ReasonExpired},
		"without end":        {[]string{"Bearer " + jwt("fairway", time.Unix(0, 0), "")}, nil, ReasonNotBound},
		"not confirmed":      {[]string{good}, answer(noAudience, nil), ReasonAudience},
		"not bound":          {[]string{good}, answer(noPod, nil), ReasonNotBound},
		"deleted pod":        {[]string{good}, answer(Review{}, &Refusal{ReasonRevoked, "gone"}), ReasonRevoked},
		"API server away":    {[]string{good}, answer(Review{}, errors.New("dial tcp 10.0.0.1:443: refused")), ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			a, r := authenticator(t, row.answer)
			ctx := t.Context()
			if row.headers != nil {
				ctx = metadata.NewIncomingContext(ctx, metadata.MD{"authorization": row.headers})
			}
			_, err := a.Authenticate(ctx)
			refused(t, err, row.want, good, strings.Split(good, ".")[1])
			if asked := r.asked.Load() > 0; asked != (row.answer != nil) {
				t.Errorf("the API server was asked: %v", asked)
			}
		})
	}
}

func TestVerdictsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := false
		a, r := authenticator(t, func(token string) (Review, error) {
			if gone {
				return Review{}, &Refusal{ReasonRevoked, "gone"}
			}
			return sleep, nil
		})
		ask := func(ctx context.Context) error { _, err := a.Authenticate(ctx); return err }
		long := bearer(t.Context(), jwt("fairway", time.Now().Add(time.Hour), "long"))
		short := bearer(t.Context(), jwt("fairway", time.Now().Add(20*time.Second), "short"))
		for _, ctx := range []context.Context{long, short} {
			if err := ask(ctx); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second)
		refused(t, ask(short), ReasonExpired)
		gone = true
		if err := ask(long); err != nil || r.asked.Load() != 2 {
			t.Errorf("%v after %d reviews, want the remembered verdict", err, r.asked.Load())
		}
		time.Sleep(acceptedFor)
		refused(t, ask(long), ReasonRevoked)
		refused(t, ask(long), ReasonRevoked)
		if n := r.asked.Load(); n != 3 {
			t.Errorf("%d reviews, want one for the refused token", n-2)
		}
		gone = false
		time.Sleep(refusedFor)
		if err := ask(long); err != nil {
			t.Errorf("still refused: %v", err)
		}
	})
}

// TestUnavailableIsNotRemembered and one review serves all that wait for it.
func TestReviewsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		a, r := authenticator(t, func(string) (Review, error) {
			time.Sleep(time.Second)
			if away {
				return Review{}, errors.New("away")
			}
			return sleep, nil
		})
		ctx := bearer(t.Context(), jwt("fairway", time.Now().Add(time.Hour), ""))
		_, err := a.Authenticate(ctx)
		refused(t, err, ReasonUnavailable)
		away = false
		// The stream that asks first ends before the answer is there.
		ended, end := context.WithCancel(ctx)
		var all sync.WaitGroup
		all.Go(func() {
			_, err := a.Authenticate(ended)
			refused(t, err, ReasonUnavailable)
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() {
				if _, err := a.Authenticate(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		end()
		all.Wait()
		if n := r.asked.Load(); n != 2 {
			t.Errorf("%d reviews for 101 streams with one token", n-1)
		}
	})
}

// asker is a gRPC service that answers only who is allowed in.
type asker struct {
	grpc_health_v1.UnimplementedHealthServer
	authenticator *Authenticator
	peers         chan Peer
}

func (s *asker) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	p, err := s.authenticator.Authenticate(ctx)
	if err != nil {
		return nil, err
	}
	s.peers <- p
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

// TestSecurePort speaks real TLS and gRPC to a port with both sorts of proof.
func TestSecurePort(t *testing.T) {
	ca, stranger := open(t, Options{}), open(t, Options{})
	server, err := ca.ServerCertificate("fairway.istio-system.svc", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	trustDomain := func() string { return "cluster.local" }
	byCertificate, err := NewAuthenticator(AuthenticatorOptions{Authority: ca, TrustDomain: trustDomain, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	byToken, _ := authenticator(t, func(string) (Review, error) { return sleep, nil })
	pair := func(a *Authority, w Workload) []tls.Certificate {
		c, err := a.Issue(w)
		if err != nil {
			t.Fatal(err)
		}
		p, err := tls.X509KeyPair(c.SecretPEM())
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{p}
	}
	serverPair := func() []tls.Certificate {
		c, err := server.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{*c}
	}
	elsewhere := app
	elsewhere.ID.TrustDomain = "other.example"
	token := jwt("fairway", time.Now().Add(time.Hour), "")
	for name, row := range map[string]struct {
		by    *Authenticator
		shows []tls.Certificate
		token string
		want  Reason
		pod   string
		id    ID
	}{
		"token":                            {by: byToken, token: token, id: ID{"cluster.local", "default", "sleep"}, pod: "sleep-1"},
		"token and unknown certificate":    {by: byToken, token: token, shows: pair(stranger, app), id: ID{"cluster.local", "default", "sleep"}, pod: "sleep-1"},
		"certificate where tokens count":   {by: byToken, shows: pair(ca, app), want: ReasonNoCredential},
		"certificate":                      {by: byCertificate, shows: pair(ca, app), id: app.ID},
		"certificate of another mesh":      {by: byCertificate, shows: pair(stranger, app), want: ReasonUntrusted},
		"certificate of a server":          {by: byCertificate, shows: serverPair(), want: ReasonUntrusted},
		"certificate of another domain":    {by: byCertificate, shows: pair(ca, elsewhere), want: ReasonUntrusted},
		"token where certificates count":   {by: byCertificate, token: token, want: ReasonNoCredential},
		"nothing where certificates count": {by: byCertificate, want: ReasonNoCredential},
	} {
		t.Run(name, func(t *testing.T) {
			s := &asker{authenticator: row.by, peers: make(chan Peer, 1)}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			g := grpc.NewServer(grpc.Creds(credentials.NewTLS(TLS(server.GetCertificate))))
			grpc_health_v1.RegisterHealthServer(g, s)
			go g.Serve(l) //nolint:errcheck // ends with Stop
			defer g.Stop()
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(ca.Bundle())
			conf := &tls.Config{RootCAs: roots, ServerName: "fairway.istio-system.svc", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(row.shows) == 0 {
					return &tls.Certificate{}, nil
				}
				return &row.shows[0], nil
			}}
			conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(conf)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx := t.Context()
			if row.token != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+row.token)
			}
			_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			if row.want != "" {
				code := status.Code(err)
				if code != codes.Unauthenticated || strings.Contains(err.Error(), token) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p := <-s.peers; p.ID != row.id || p.Pod != row.pod || p.Expires.IsZero() {
				t.Errorf("it is %+v", p)
			}
		})
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := open(t, Options{})
		s, err := a.ServerCertificate("fairway.istio-system.svc")
		if err != nil {
			t.Fatal(err)
		}
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go a.Maintain(ctx) //nolint:errcheck // returns nil
		shown := func() *x509.Certificate {
			c, err := s.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: a.trust.Load().pool, DNSName: "fairway.istio-system.svc", CurrentTime: time.Now()}); err != nil {
				t.Fatal(err)
			}
			return c.Leaf
		}
		first := shown()
		time.Sleep(time.Hour)
		if !shown().Equal(first) {
			t.Error("renewed without need")
		}
		time.Sleep(13 * time.Hour)
		second := shown()
		if second.Equal(first) {
			t.Error("not renewed after half of its life")
		}
		if err := a.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !shown().Equal(second) {
			t.Error("renewed although the same root signs")
		}
		time.Sleep(time.Hour)
		if shown().Equal(second) {
			t.Error("not renewed although another root signs")
		}
		cancel()
		synctest.Wait()
	})
}

func FuzzAuthorization(f *testing.F) {
	f.Add("Bearer " + jwt("fairway", time.Unix(2e9, 0), ""))
	f.Add(jwt([]string{"a", "fairway"}, time.Unix(2e9, 0), ""))
	f.Add("Basic YTpi")
	f.Add(`Bearer e30.eyJleHAiOjFlMzB9.`)
	f.Fuzz(func(t *testing.T, header string) {
		tok, err := parseAuthorization([]string{header})
		if err != nil {
			if !errors.As(err, new(*Refusal)) {
				t.Errorf("%v is no Refusal", err)
			}
			return
		}
		if tok == "" || len(tok) > maxToken || strings.ContainsAny(string(tok), " \r\n\t") || !strings.Contains(header, string(tok)) {
			t.Errorf("%q is read as %q", header, string(tok))
		}
		c, err := parseClaims(tok)
		if err == nil && c.useless([]string{"fairway"}, time.Now()) == nil && !c.expires().After(time.Now()) {
			t.Errorf("%q counts although it has expired", header)
		}
		if err != nil && len(tok) > 12 && strings.Contains(err.Error(), string(tok)) {
			t.Errorf("%q shows the token", err)
		}
	})
}

// TestGonePodIsReviewedAgain says that a remembered verdict does not outlive what
// the caller knows of the pod, and that the API server has the last word.
func TestGonePodIsReviewedAgain(t *testing.T) {
	deleted, gone := false, false
	r := &reviewer{answer: func(string) (Review, error) {
		if deleted {
			return Review{}, &Refusal{ReasonRevoked, "gone"}
		}
		return sleep, nil
	}}
	a, err := NewAuthenticator(AuthenticatorOptions{Review: r.review, TrustDomain: func() string { return "cluster.local" }, Log: quiet(),
		Gone: func(namespace, pod, uid string) bool {
			if namespace != "default" || pod != "sleep-1" || uid != "u1" {
				t.Errorf("asked about %s/%s %s", namespace, pod, uid)
			}
			return gone
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := bearer(t.Context(), jwt("fairway", time.Now().Add(time.Hour), ""))
	for _, step := range []struct {
		deleted, gone bool
		reviews       int32
	}{{false, false, 1}, {false, false, 1}, {false, true, 2}, {false, false, 2}, {true, true, 3}, {true, true, 3}} {
		deleted, gone = step.deleted, step.gone
		_, err := a.Authenticate(ctx)
		if step.deleted {
			refused(t, err, ReasonRevoked)
		} else if err != nil {
			t.Errorf("%+v: %v", step, err)
		}
		if n := r.asked.Load(); n != step.reviews {
			t.Errorf("%+v: after %d reviews", step, n)
		}
	}
}

// TestFloodOfTokensDoesNotDelayPods has strangers of one address show tokens that
// nobody has issued, each another, while reviews are slow, and a stranger of
// another address and a pod that is there show theirs.
func TestFloodOfTokensDoesNotDelayPods(t *testing.T) {
	var log lockedText
	release := make(chan struct{})
	a, err := NewAuthenticator(AuthenticatorOptions{
		Review: func(ctx context.Context, text string, _ []string) (Review, error) {
			if strings.Contains(text, "nonsense") {
				<-release
				return Review{}, &Refusal{ReasonRejected, "no"}
			}
			return sleep, nil
		},
		TrustDomain: func() string { return "cluster.local" },
		Gone:        func(_, _, uid string) bool { return uid != "u1" },
		Log:         slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	from := func(address string) context.Context {
		return peer.NewContext(t.Context(), &peer.Peer{Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))})
	}
	token := func(signature, uid string) string {
		payload, err := json.Marshal(map[string]any{"aud": "fairway", "exp": time.Now().Add(time.Hour).Unix(),
			"kubernetes.io": map[string]any{"namespace": "default", "pod": map[string]any{"name": "sleep-1", "uid": uid}}})
		if err != nil {
			t.Fatal(err)
		}
		return "e30." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
	}
	var flood sync.WaitGroup
	for i := range 500 {
		flood.Go(func() {
			_, _ = a.Authenticate(bearer(from("10.0.0.9:1000"), token(fmt.Sprint("nonsense", i), "made-up")))
		})
	}
	for a.foreign.Waiting("10.0.0.9") < 100 {
		time.Sleep(time.Millisecond)
	}
	if _, err := a.Authenticate(bearer(from("10.0.0.9:1001"), token("good", "u1"))); err != nil {
		t.Errorf("a pod that is there, behind the address of the flood: %v", err)
	}
	other := make(chan error, 1)
	go func() {
		_, err := a.Authenticate(bearer(from("10.0.0.8:1"), token("new", "u2")))
		other <- err
	}()
	for a.foreign.Waiting("10.0.0.8") == 0 {
		time.Sleep(time.Millisecond)
	}
	before := a.foreign.Waiting("10.0.0.9")
	release <- struct{}{}
	release <- struct{}{}
	if err := <-other; err != nil {
		t.Errorf("a pod that is not known yet: %v", err)
	}
	if after := a.foreign.Waiting("10.0.0.9"); after < before-3 {
		t.Errorf("it had to wait for %d strangers", before-after)
	}
	close(release)
	flood.Wait()
	if n := a.accepted.Len(); n != 2 {
		t.Errorf("%d tokens are remembered as accepted", n)
	}
	if n := strings.Count(log.String(), "\n"); n > 3 {
		t.Errorf("%d lines in the log", n)
	}
}

// lockedText is a text that several goroutines write.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
