package bootstrap_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// placeholder is what the injector writes.
func placeholder() bootstrap.Config {
	return bootstrap.Config{
		Pod: "$(POD_NAME)", Namespace: "$(POD_NAMESPACE)", IP: "$(INSTANCE_IP)", IPs: "$(INSTANCE_IPS)",
		XDSAddress: "127.0.0.1:15010", Plaintext: true,
	}
}

func TestEnvoyAccepts(t *testing.T) {
	binary := envoytest.Path(t)
	dir := t.TempDir()
	mount(t, dir, "token", newAuthority(t).pem)
	probes := []bootstrap.Probe{
		{Path: "/a", Kind: bootstrap.ProbeHTTP, Port: 1, Target: "/x?y=z"}, {Path: "/b", Kind: bootstrap.ProbeHTTPS, Port: 1},
		{Path: "/c", Kind: bootstrap.ProbeTCP, Port: 1}, {Path: "/d", Kind: bootstrap.ProbeGRPC, Port: 1, Target: "s"},
	}
	literal := bootstrap.Config{Pod: "web-1", Namespace: "shop", IP: "10.0.0.7", CredentialDir: dir, Probes: probes}
	for name, change := range map[string]func(*bootstrap.Config){
		"plaintext":      func(c *bootstrap.Config) { c.XDSAddress, c.Plaintext = "127.0.0.1:15010", true },
		"TLS by name":    func(c *bootstrap.Config) { c.XDSAddress = "fairway.istio-system.svc:15012" },
		"TLS by address": func(c *bootstrap.Config) { c.XDSAddress = "[fd00::1]:15012" },
		"gateway": func(c *bootstrap.Config) {
			c.XDSAddress, c.Role, c.StateOfTheWorld, c.IP = "fairway.istio-system.svc:15012", bootstrap.Router, true, "fd00::7"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := literal
			change(&c)
			for _, render := range []func(bootstrap.Config) (string, error){bootstrap.JSON, bootstrap.YAML} {
				text, err := render(c)
				if err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(binary, append(bootstrap.Args(), "--mode", "validate", "--log-level", "warning", "--config-yaml", text)...).CombinedOutput()
				if err != nil || strings.Contains(string(out), "[warning]") {
					t.Errorf("%v:\n%s", err, out)
				}
			}
		})
	}
}

func TestReadyWhenTheControlPlaneHasAnswered(t *testing.T) {
	p := newPod(t)
	c := &control{silent: true}
	stop := c.serve(t, p.listen("127.0.0.1:15010"))
	p.start(placeholder())
	p.eventually(func() string {
		if _, streams := c.lastToken(); streams == 0 {
			return "Envoy does not connect"
		}
		return ""
	})
	if status, _ := p.get(url(podIP4, bootstrap.ReadinessPort, bootstrap.ReadinessPath)); status == 200 {
		t.Error("ready before clusters and listeners are known")
	}
	c.setSilent(false)
	stop()
	c.serve(t, p.listen("127.0.0.1:15010"))
	p.ready(podIP4)

	c.mu.Lock()
	node := c.nodes[0]
	c.mu.Unlock()
	if want := "sidecar~" + podIP4 + "~web-1.shop~shop.svc.cluster.local"; node.Id != want || node.Cluster != "web-1.shop" {
		t.Errorf("node %q of cluster %q, want %q", node.Id, node.Cluster, want)
	}
	if ips := node.Metadata.Fields["INSTANCE_IPS"].GetStringValue(); ips != podIP4+","+podIP6 {
		t.Errorf("INSTANCE_IPS %q", ips)
	}
	if token, _ := c.lastToken(); token != "" {
		t.Errorf("a token over plaintext: %q", token)
	}
}

// TestOnlyWhatIsMeantIsOpen asks for what the admin interface could do, by every
// port of both roles.
func TestOnlyWhatIsMeantIsOpen(t *testing.T) {
	for _, family := range []struct{ ip, xds string }{{podIP4, "127.0.0.1:15010"}, {podIP6, "[::1]:15010"}} {
		for _, role := range []bootstrap.Role{bootstrap.Sidecar, bootstrap.Router} {
			t.Run(family.ip+" "+string(role), func(t *testing.T) {
				p := newPod(t)
				(&control{}).serve(t, p.listen(family.xds))
				c := placeholder()
				c.IP, c.XDSAddress, c.Role = family.ip, family.xds, role
				p.start(c)
				p.ready(family.ip)
				onlyWhatIsMeant(t, p, family.ip, role)
			})
		}
	}
}

func onlyWhatIsMeant(t *testing.T, p *pod, ip string, role bootstrap.Role) {
	status, body := p.get(url(ip, bootstrap.PrometheusPort, bootstrap.PrometheusPath))
	if status != 200 || !strings.Contains(body, "envoy_server_live") {
		t.Errorf("Prometheus gets %d %.200s", status, body)
	}
	const admin = "http://127.0.0.1:15000"
	for _, path := range []string{"/ready", "/config_dump?include_eds", "/stats?filter=server"} {
		want := 200
		if role == bootstrap.Router {
			want = 0 // it is a Unix socket
		}
		if status, _ := p.get(admin + path); status != want {
			t.Errorf("the admin interface answers %s on loopback with %d, want %d", path, status, want)
		}
	}
	commands := []string{
		"/quitquitquit", "/drain_listeners", "/drain_listeners?graceful", "/drain", "/drain/", "/healthcheck/fail", "/healthcheck/ok", "/reset_counters", "/logging?level=trace",
		"/runtime_modify?a=b", "/cpuprofiler?enable=y", "/heapprofiler?enable=y", "/reopen_logs", "/stats/prometheus/../../quitquitquit", "/ready/../quitquitquit", "/tap",
	}
	for _, command := range commands {
		for _, base := range []string{admin, url(ip, bootstrap.ReadinessPort, ""), url(ip, bootstrap.PrometheusPort, ""), url(ip, bootstrap.AdminPort, "")} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				request, err := http.NewRequestWithContext(t.Context(), method, base+command, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := p.client(false).Do(request)
				if err != nil {
					continue // nobody listens
				}
				response.Body.Close()
				if response.StatusCode != 404 && response.StatusCode != 403 {
					t.Errorf("%s %s%s is answered with %d", method, base, command, response.StatusCode)
				}
			}
		}
	}
	for _, path := range []string{"/stats", "/config_dump", "/ready"} {
		for _, port := range []uint16{bootstrap.ReadinessPort, bootstrap.PrometheusPort, bootstrap.AdminPort} {
			if status, _ := p.get(url(ip, int(port), path)); status != 404 && status != 0 {
				t.Errorf("%s on the pod's address, port %d, is answered with %d", path, port, status)
			}
		}
	}
	p.ready(ip)
}

// application is what the probes ask, on every address of the pod but loopback.
func application(t *testing.T, p *pod, ip string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/live":
			more := maps.Clone(r.Header)
			for _, name := range []string{"X-Probe", "User-Agent", "Accept-Encoding"} { // what the test sends
				more.Del(name)
			}
			fmt.Fprintf(w, "host=%s query=%s header=%s", r.Host, r.URL.RawQuery, r.Header.Get("X-Probe"))
			if len(more) > 0 {
				fmt.Fprintf(w, " and %v", more)
			}
		case "/moved":
			http.Redirect(w, r, "/login", http.StatusFound)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	plain := &http.Server{Handler: handler}
	go plain.Serve(p.listen(net.JoinHostPort(ip, "8080")))
	t.Cleanup(func() { plain.Close() })
	secure := httptest.NewUnstartedServer(handler)
	secure.Listener.Close()
	secure.Listener = p.listen(net.JoinHostPort(ip, "8443"))
	secure.StartTLS()
	t.Cleanup(secure.Close)
}

func TestProbes(t *testing.T) {
	for _, family := range []struct {
		name, ip, xds string
		change        func(*bootstrap.Config)
	}{
		{podIP4, podIP4, "127.0.0.1:15010", func(c *bootstrap.Config) { c.IP = podIP4 }},
		{podIP6, podIP6, "[::1]:15010", func(c *bootstrap.Config) { c.IP = podIP6 }},
		{"placeholder of IPv4", podIP4, "127.0.0.1:15010", func(*bootstrap.Config) {}},
		{"placeholder of IPv6", podIP6, "[::1]:15010", func(c *bootstrap.Config) { c.IPv6 = true }},
		{"placeholder of IPv6, dual-stack", podIP6, "[::1]:15010", func(c *bootstrap.Config) { c.IPv6, c.DualStack = true, true }},
	} {
		t.Run(family.name, func(t *testing.T) {
			p := newPod(t)
			p.ip = family.ip
			(&control{}).serve(t, p.listen(family.xds))
			application(t, p, family.ip)
			c := placeholder()
			c.XDSAddress = family.xds
			family.change(&c)
			period := 200 * time.Millisecond
			c.Probes = []bootstrap.Probe{
				{Path: "/http", Kind: bootstrap.ProbeHTTP, Port: 8080, Target: "/live?a=b"},
				{Path: "/host", Kind: bootstrap.ProbeHTTP, Port: 8080, Target: "live", KeepHost: true},
				{Path: "/moved", Kind: bootstrap.ProbeHTTP, Port: 8080, Target: "/moved"},
				{Path: "/bad", Kind: bootstrap.ProbeHTTP, Port: 8080, Target: "/bad"},
				{Path: "/https", Kind: bootstrap.ProbeHTTPS, Port: 8443, Target: "/live"},
				{Path: "/nobody", Kind: bootstrap.ProbeHTTP, Port: 9999, Target: "/"},
				{Path: "/tcp", Kind: bootstrap.ProbeTCP, Port: 3306, Period: period},
				{Path: "/grpc", Kind: bootstrap.ProbeGRPC, Port: 9000, Target: "store.v1", Period: period},
			}
			p.start(c)
			p.ready(family.ip)
			probe := func(path string) string { return url(family.ip, bootstrap.ProbePort, path) }
			host := net.JoinHostPort(family.ip, "8080")
			for _, tc := range []struct {
				path   string
				header []string
				status int
				body   string
			}{
				{"/http", []string{"X-Probe", "yes"}, 200, "host=" + host + " query=a=b header=yes"},
				{"/host", []string{"Host", "web.example"}, 200, "host=web.example query= header="},
				{"/moved", nil, 302, ""},
				{"/bad", nil, 500, ""},
				{"/https", nil, 200, ""},
				{"/nobody", nil, 503, ""},
				{"/live", nil, 404, ""}, // not a probe, though a path of the application
			} {
				if status, body := p.get(probe(tc.path), tc.header...); status != tc.status || (tc.body != "" && body != tc.body) {
					t.Errorf("%s: %d %q, want %d %q", tc.path, status, body, tc.status, tc.body)
				}
			}
			status := func(path string, want int) {
				t.Helper()
				p.eventually(func() string {
					if got, body := p.get(probe(path)); got != want {
						return fmt.Sprintf("%s: %d %s, want %d", path, got, body, want)
					}
					return ""
				})
			}
			status("/tcp", 503)
			status("/grpc", 503)
			database := p.listen(net.JoinHostPort(family.ip, "3306"))
			status("/tcp", 200)
			database.Close()
			status("/tcp", 503)

			var authority atomic.Value
			server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				authority.Store(strings.Join(md.Get(":authority"), ","))
				return next(ctx, request)
			}))
			checks := health.NewServer()
			healthv1.RegisterHealthServer(server, checks)
			checks.SetServingStatus("store.v1", healthv1.HealthCheckResponse_SERVING)
			go server.Serve(p.listen(net.JoinHostPort(family.ip, "9000")))
			t.Cleanup(server.Stop)
			status("/grpc", 200)
			if got, want := authority.Load(), net.JoinHostPort(family.ip, "9000"); got != want {
				t.Errorf("a gRPC probe is for %q, the kubelet's would be for %q", got, want)
			}
			checks.SetServingStatus("store.v1", healthv1.HealthCheckResponse_NOT_SERVING)
			status("/grpc", 503)
		})
	}
}

// TestProbesOfUnknownFamily: where nobody knows yet of which family the pod is, the
// kubelet's request tells, and the application sees the right Host.
func TestProbesOfUnknownFamily(t *testing.T) {
	p := newPod(t)
	p.ip = podIP6
	(&control{}).serve(t, p.listen("127.0.0.1:15010"))
	application(t, p, podIP6)
	c := placeholder()
	c.Probes = []bootstrap.Probe{{Path: "/http", Kind: bootstrap.ProbeHTTP, Port: 8080, Target: "/live"}}
	p.start(c)
	p.ready(podIP6)
	if status, body := p.get(url(podIP6, bootstrap.ProbePort, "/http")); status != 200 || !strings.HasPrefix(body, "host=["+podIP6+"]:8080 ") {
		t.Errorf("got %d %q", status, body)
	}
}

// TestReadyEverywhere asks where programs of the pod, load balancers and Prometheus do:
// on loopback, and on the addresses of both families.
func TestReadyEverywhere(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bootstrap.Config)
		ready  []string
	}{
		"placeholder":             {func(*bootstrap.Config) {}, []string{podIP4, "127.0.0.1"}},
		"placeholder, dual-stack": {func(c *bootstrap.Config) { c.DualStack = true }, []string{podIP4, podIP6, "127.0.0.1", "::1"}},
		"literal":                 {func(c *bootstrap.Config) { c.IP, c.IPs = podIP4, podIP4 }, []string{podIP4, "127.0.0.1"}},
		"literal, dual-stack":     {func(c *bootstrap.Config) { c.IP, c.IPs = podIP4, podIP4+","+podIP6 }, []string{podIP4, podIP6, "127.0.0.1", "::1"}},
		"gateway, dual-stack":     {func(c *bootstrap.Config) { c.Role, c.IP, c.IPs = bootstrap.Router, podIP6, podIP6+","+podIP4 }, []string{podIP4, podIP6, "127.0.0.1", "::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			(&control{}).serve(t, p.listen("127.0.0.1:15010"))
			config := placeholder()
			c.change(&config)
			p.start(config)
			for _, ip := range c.ready {
				p.ready(ip)
				if ip == "127.0.0.1" && !config.DualStack { // Prometheus comes from outside
					continue
				}
				if status, _ := p.get(url(ip, bootstrap.PrometheusPort, bootstrap.PrometheusPath)); status != 200 {
					t.Errorf("Prometheus gets %d on %s", status, ip)
				}
			}
		})
	}
}

// TestNotReadyWhileDraining: load balancers that ask the proxy itself hear at once that
// its pod ends.
func TestNotReadyWhileDraining(t *testing.T) {
	p := newPod(t)
	c := &control{}
	stop := c.serve(t, p.listen("127.0.0.1:15010"))
	p.start(placeholder())
	p.ready(podIP4)
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	stop() // the proxy connects again, and hears it
	c.serve(t, p.listen("127.0.0.1:15010"))
	p.eventually(func() string {
		if status, _ := p.get(url(podIP4, bootstrap.ReadinessPort, bootstrap.ReadinessPath)); status != 503 {
			return fmt.Sprintf("answers %d while its pod ends", status)
		}
		return ""
	})
}

// mount writes what the kubelet mounts, the way it does: files in a
// directory of their own, reached through links that are swapped at once.
func mount(t *testing.T, dir, token string, authority []byte) {
	t.Helper()
	content, err := os.MkdirTemp(dir, "..content")
	if err != nil {
		t.Fatal(err)
	}
	files := bootstrap.SDSFiles(dir)
	files[bootstrap.TokenFile], files[bootstrap.AuthorityFile] = token, string(authority)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(content, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(content), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// TestTokenAndAuthorityRotate connects three times: with the first token, with
// its successor, and to a server that another authority signed.
func TestTokenAndAuthorityRotate(t *testing.T) {
	p := newPod(t)
	dir := t.TempDir()
	old := newAuthority(t)
	mount(t, dir, "first", old.pem)
	c := &control{}
	address := net.ParseIP("127.0.0.1")
	stop := c.serve(t, p.listen("127.0.0.1:15012"), old.server(nil, address))
	config := placeholder()
	config.XDSAddress, config.Plaintext, config.CredentialDir = "127.0.0.1:15012", false, dir
	p.start(config)
	p.ready(podIP4)
	bears := func(want string) {
		t.Helper()
		p.eventually(func() string {
			if got, n := c.lastToken(); got != "Bearer "+want {
				return fmt.Sprintf("stream %d bears %q, want %q", n, got, want)
			}
			return ""
		})
	}
	bears("first")
	reconnect := func(identity grpc.ServerOption, want string) {
		t.Helper()
		stop()
		stop = c.serve(t, p.listen("127.0.0.1:15012"), identity)
		bears(want)
	}
	mount(t, dir, "second", old.pem)
	reconnect(old.server(nil, address), "second")
	other := newAuthority(t)
	mount(t, dir, "third", append(other.pem, old.pem...))
	reconnect(other.server(nil, address), "third")

	// A server with a good certificate of another name is not the control plane.
	_, before := c.lastToken()
	stop()
	stop = c.serve(t, p.listen("127.0.0.1:15012"), other.server([]string{"evil.example"}, net.ParseIP("127.0.0.2")))
	time.Sleep(3 * time.Second) // long enough for several attempts; nothing to wait for
	if _, after := c.lastToken(); after != before {
		t.Error("Envoy gave its token to a server of another name")
	}
}
