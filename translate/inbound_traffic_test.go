package translate

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/test/freeport"
)

// authority signs certificates of one trust.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"test"}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key, a.pem, _ = signed(t, template, nil)
	return a
}

func signed(t testing.TB, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// workload is the certificate of a workload, as the mesh's authority makes them.
func (a *authority) workload(t testing.TB, id, name string) (chain, key []byte) {
	t.Helper()
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	_, _, chain, key = signed(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri},
		Subject:     pkix.Name{Organization: []string{name}, CommonName: name + "-app", OrganizationalUnit: []string{"v7"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	return chain, key
}

// inboundEnvoy is a real Envoy that runs an inbound listener. Since nothing is
// redirected to it, it listens on the ports of the workload themselves.
type inboundEnvoy struct {
	admin string
	root  *authority
}

func startInboundEnvoy(t *testing.T, in mesh.Inbound) *inboundEnvoy {
	t.Helper()
	e := &inboundEnvoy{root: newAuthority(t)}
	out := Inbound(in)
	validInbound(t, out)
	l := out.Listeners[0]
	loopback := netip.MustParseAddr("127.0.0.1")
	for i, p := range in.Ports.Slice() {
		a := inboundAddress(loopback)
		a.GetSocketAddress().PortSpecifier = inboundSocket(loopback, p.Number).PortSpecifier
		if i == 0 {
			l.Address = a
		} else {
			l.AdditionalAddresses = append(l.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: a})
		}
	}
	chain, key := e.root.workload(t, "spiffe://cluster.local/ns/default/sa/web", "web")
	resources := map[string]any{
		// Secrets come by ADS; here they stand in the bootstrap under the same names.
		"listeners": []json.RawMessage{withoutADS(inboundJSON(t, l))},
		"secrets":   []json.RawMessage{inboundJSON(t, WorkloadSecret(chain, key)), inboundJSON(t, RootSecret(e.root.pem))},
	}
	var clusters []json.RawMessage
	for _, c := range out.Clusters {
		clusters = append(clusters, inboundJSON(t, c))
	}
	resources["clusters"] = clusters
	started := runEnvoy(t, resources, map[string]any{"WORKLOAD_NAME": "web", "NAMESPACE": "default"})
	started.root = e.root
	return started
}

// runEnvoy starts a real Envoy with static resources and the metadata of its node.
func runEnvoy(t *testing.T, resources, node map[string]any) *inboundEnvoy {
	t.Helper()
	envoy := envoytest.Path(t)
	e := &inboundEnvoy{admin: fmt.Sprintf("127.0.0.1:%d", freeport.TCP(t))}
	host, port, _ := net.SplitHostPort(e.admin)
	bootstrap, err := json.Marshal(map[string]any{
		"node":             map[string]any{"id": "web", "cluster": "web", "metadata": node},
		"admin":            map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": host, "port_value": json.Number(port)}}},
		"static_resources": resources,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoy, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")
	log, err := os.Create(filepath.Join(t.TempDir(), "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("Envoy:\n%s", text)
		}
		log.Close()
	})
	within(t, "Envoy is ready", func() error {
		res, err := http.Get("http://" + e.admin + "/ready")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	})
	return e
}

// withoutADS leaves out what an Envoy without a control plane cannot ask for.
func withoutADS(js json.RawMessage) json.RawMessage {
	var v any
	if err := json.Unmarshal(js, &v); err != nil {
		panic(err) // protojson made it
	}
	var clean func(v any)
	clean = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			delete(x, "sdsConfig")
			if discovery, ok := x["configDiscovery"].(map[string]any); ok {
				x["typedConfig"] = discovery["defaultConfig"]
				delete(x, "configDiscovery")
			}
			for _, y := range x {
				clean(y)
			}
		case []any:
			for _, y := range x {
				clean(y)
			}
		}
	}
	clean(v)
	out, _ := json.Marshal(v)
	return out
}

func within(t testing.TB, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// caller is how a client comes: with which identity, or in plaintext.
type caller struct {
	chain, key []byte
	protocols  []string
}

func (c *caller) dial(ctx context.Context, port uint32) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil || c == nil {
		return conn, err
	}
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: c.protocols}
	if c.chain != nil {
		pair, err := tls.X509KeyPair(c.chain, c.key)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return tls.Client(conn, conf), nil
}

// get makes a request; the error is that of the connection.
func (c *caller) get(t testing.TB, port uint32, path string) (int, http.Header, error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, port) }}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	res, err := client.Get(fmt.Sprintf("http://web:%d%s", port, path))
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header, nil
}

// say sends a line, unless it is empty, and gives the first line that comes back.
func (c *caller) say(t testing.TB, port uint32, line string) (string, error) {
	t.Helper()
	conn, err := c.dial(t.Context(), port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if line != "" {
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			return "", err
		}
	} else if s, ok := conn.(*tls.Conn); ok {
		if err := s.Handshake(); err != nil {
			return "", err
		}
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer), err
}

// lineServer greets, if it does, and answers each line with itself.
func lineServer(t testing.TB, greeting string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if greeting != "" {
					_, _ = io.WriteString(conn, greeting+"\n")
				}
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

func headerServer(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-seen-cert", r.Header.Get("x-forwarded-client-cert"))
		w.Header().Set("x-seen-path", r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestEnvoyTakesInboundTraffic sends real traffic through a real Envoy: who is
// let in, by what chain, and what is counted of it.
func TestEnvoyTakesInboundTraffic(t *testing.T) {
	web, lines, greets := headerServer(t), lineServer(t, ""), lineServer(t, "HELLO")
	service := &registry.Service{Host: "web.default.svc.cluster.local", Name: "web", Namespace: "default"}
	permissive, strict, plain, sniffed, bytes := freeport.TCP(t), freeport.TCP(t), freeport.TCP(t), freeport.TCP(t), freeport.TCP(t)
	rule := func(principals, paths, notPaths []string) *security.Rule {
		r := &security.Rule{To: []*security.Rule_To{{Operation: &security.Operation{Paths: paths, NotPaths: notPaths}}}}
		if principals != nil {
			r.From = []*security.Rule_From{{Source: &security.Source{Principals: principals}}}
		}
		return r
	}
	deny := &mesh.AuthorizationPolicy{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "default", Name: "deny"}, Namespace: "default",
		Spec: &security.AuthorizationPolicy{Action: security.AuthorizationPolicy_DENY, Rules: []*security.Rule{{
			To:   []*security.Rule_To{{Operation: &security.Operation{Ports: []string{fmt.Sprint(permissive)}, Paths: []string{"/admin*"}}}},
			From: []*security.Rule_From{{Source: &security.Source{NotPrincipals: []string{"cluster.local/ns/default/sa/admin"}}}},
		}, rule(nil, []string{"/never"}, nil)}}}
	deny.Spec.Rules = deny.Spec.Rules[:1]
	in := mesh.Inbound{
		Namespace: "default", Workload: "web", CanonicalName: "web", CanonicalRevision: "v1", ServiceAccount: "web", App: "web", Version: "v1", IPv4: true,
		Ports: mesh.ListOf(
			mesh.InboundPort{Number: permissive, Protocol: object.ProtocolHTTP, Service: service, Endpoint: web},
			mesh.InboundPort{Number: strict, Protocol: object.ProtocolHTTP, Service: service, Endpoint: web, MutualTLS: mesh.Strict},
			mesh.InboundPort{Number: plain, Protocol: object.ProtocolTCP, Service: service, Endpoint: greets, MutualTLS: mesh.Disabled},
			mesh.InboundPort{Number: sniffed, Service: service, Endpoint: web},
			mesh.InboundPort{Number: bytes, Protocol: object.ProtocolTCP, Service: service, Endpoint: lines},
		),
		AuthorizationPolicies: mesh.ListOf(deny),
		Config:                mesh.DefaultConfig(),
	}
	e := startInboundEnvoy(t, in)
	meshCaller := func(id string, protocols ...string) *caller {
		chain, key := e.root.workload(t, id, "client")
		return &caller{chain, key, protocols}
	}
	client := meshCaller("spiffe://cluster.local/ns/other/sa/client", "istio-http/1.1", "istio")
	admin := meshCaller("spiffe://cluster.local/ns/default/sa/admin", "istio")
	foreign := meshCaller("spiffe://foreign.example/ns/other/sa/client", "istio")
	nobody := &caller{protocols: []string{"istio"}}
	strangerChain, strangerKey := newAuthority(t).workload(t, "spiffe://cluster.local/ns/other/sa/client", "client")
	stranger := &caller{strangerChain, strangerKey, []string{"istio"}}
	var plaintext *caller

	for _, c := range []struct {
		name   string
		from   *caller
		port   uint32
		path   string
		status int    // 0: no answer
		cert   string // what the application sees in X-Forwarded-Client-Cert
	}{
		{"permissive, plaintext", plaintext, permissive, "/", 200, ""},
		{"permissive, mesh", client, permissive, "/", 200, "URI=spiffe://cluster.local/ns/other/sa/client"},
		{"permissive, TLS without certificate", nobody, permissive, "/", 0, ""},
		{"permissive, of another trust domain", foreign, permissive, "/", 0, ""},
		{"permissive, signed by somebody else", stranger, permissive, "/", 0, ""},
		{"strict, plaintext", plaintext, strict, "/", 0, ""},
		{"strict, mesh", client, strict, "/", 200, "URI=spiffe://cluster.local/ns/other/sa/client"},
		{"strict, TLS without certificate", nobody, strict, "/", 0, ""},
		{"sniffed, plaintext", plaintext, sniffed, "/", 200, ""},
		{"sniffed, mesh", client, sniffed, "/", 200, "URI=spiffe://cluster.local/ns/other/sa/client"},
		{"sniffed, mesh as bytes", admin, sniffed, "/", 200, ""},
		{"denied", client, permissive, "/admin/x", 403, ""},
		{"denied behind dots", client, permissive, "/x/%2e%2e/admin", 403, ""},
		{"denied without identity", plaintext, permissive, "/admin", 403, ""},
		{"not denied to the one", admin, permissive, "/admin", 200, "sa/admin"},
		{"not denied on another port", client, strict, "/admin", 200, "sa/client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, header, err := c.from.get(t, c.port, c.path)
			if (err != nil) != (c.status == 0) || status != c.status {
				t.Fatalf("status %d, %v; want %d", status, err, c.status)
			}
			if seen := header.Get("x-seen-cert"); c.status == 200 && (c.cert == "" && seen != "" || !strings.Contains(seen, c.cert)) {
				t.Errorf("the application saw the certificate %q, want %q", seen, c.cert)
			}
		})
	}
	t.Run("a server that speaks first is heard at once where TLS is off", func(t *testing.T) {
		start := time.Now()
		if got, err := plaintext.say(t, plain, ""); err != nil || got != "HELLO" || time.Since(start) > detectionTimeout {
			t.Errorf("%q, %v after %v", got, err, time.Since(start))
		}
	})
	for name, from := range map[string]*caller{"plaintext": plaintext, "mesh": client} {
		t.Run("bytes, "+name, func(t *testing.T) {
			if got, err := from.say(t, bytes, "ping"); err != nil || got != "ping" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	t.Run("the application's own TLS passes", func(t *testing.T) {
		conn, err := plaintext.dial(t.Context(), bytes)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		hello := []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00") // comes back as it is
		if _, err := conn.Write(hello); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, len(hello))
		if _, err := io.ReadFull(conn, back); err != nil || string(back) != string(hello) {
			t.Errorf("%q, %v", back, err)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		want := []map[string]string{
			{"__name__": "envoy_istio_requests_total", "reporter": "destination", "source_workload": "client", "source_workload_namespace": "other",
				"source_principal": "spiffe://cluster.local/ns/other/sa/client", "source_canonical_service": "client-app", "source_canonical_revision": "v7",
				"destination_workload": "web", "destination_service": "web.default.svc.cluster.local", "destination_principal": "spiffe://cluster.local/ns/default/sa/web",
				"request_protocol": "http", "response_code": "200", "connection_security_policy": "mutual_tls"},
			{"__name__": "envoy_istio_requests_total", "source_workload": "unknown", "response_code": "403", "connection_security_policy": "none"},
			{"__name__": "envoy_istio_request_duration_milliseconds_count", "response_code": "200", "connection_security_policy": "none"},
			{"__name__": "envoy_istio_tcp_connections_opened_total", "source_workload": "client", "request_protocol": "tcp", "connection_security_policy": "mutual_tls"},
			{"__name__": "envoy_istio_tcp_received_bytes_total", "source_workload": "client", "request_protocol": "tcp", "connection_security_policy": "mutual_tls"},
		}
		for _, labels := range want {
			within(t, fmt.Sprint(labels), func() error { return e.counted(labels) })
		}
	})
}

// counted looks for a series with the labels and a value other than 0.
func (e *inboundEnvoy) counted(labels map[string]string) error {
	res, err := http.Get("http://" + e.admin + "/stats/prometheus")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var near []string
lines:
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, labels["__name__"]+"{") {
			continue
		}
		near = append(near, line)
		for k, v := range labels {
			if k != "__name__" && !strings.Contains(line, k+`="`+v+`"`) {
				continue lines
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(line), " 0") {
			return nil
		}
	}
	return fmt.Errorf("no such series; there are:\n%s", strings.Join(near, ""))
}
