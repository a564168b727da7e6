package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/internal/local/nameserver"
	"github.com/fairway-mesh/fairway/internal/local/network"
)

// Addresses of every world: each has a network of its own.
var (
	routerAddress  = netip.MustParseAddr("10.244.0.1")
	router6        = netip.MustParseAddr("fd00:244::1")
	outsideAddress = netip.MustParseAddr("198.18.0.9")
)

const (
	xdsPort   = 15010
	debugPort = 15014
)

// world is one mesh: a control plane in the router's namespace, pods, names.
type world struct {
	envoy   string
	sotw    bool
	drain   time.Duration // of Envoys, see --drain-time-s
	learned bool          // sidecars hold the hosts that their workloads use
	dir     string        // logs, and the control plane's directory
	router  *network.Router
	outside *network.Wire
	names   *nameserver.Server
	ledger  *ledger
	// stopControlPlane kills it.
	stopControlPlane func()

	objects   map[string]*unstructured.Unstructured // by objectKey
	pods      map[string]*pod                       // by namespace/name
	allocated int                                   // addresses of services
	podCount  int
	created   int // objects, for their age
}

func newWorld(t *testing.T, envoy, variant string) *world {
	t.Helper()
	w := &world{
		envoy: envoy, sotw: variant == "sotw", learned: variant == "learned", drain: 10 * time.Minute, dir: t.TempDir(), names: nameserver.New("cluster.local"),
		ledger:  &ledger{received: map[string]map[string]int{}},
		objects: map[string]*unstructured.Unstructured{}, pods: map[string]*pod{},
	}
	for _, d := range []string{"config", "ca"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.router, err = network.NewRouter(routerAddress, router6); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.router.Close)
	if w.outside, err = w.router.Connect(outsideAddress); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.outside.Close)
	t.Cleanup(func() {
		for _, p := range w.pods {
			p.close()
		}
	})
	w.serveNames(t)
	return w
}

func (w *world) serveNames(t *testing.T) {
	t.Helper()
	at := netip.AddrPortFrom(routerAddress, 53).String()
	packets, err := w.router.Namespace.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := w.router.Namespace.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.names.Run(ctx, []net.PacketConn{packets}, []net.Listener{listener})
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// startControlPlane runs "fairway serve" until the test ends.
func (w *world) startControlPlane(t *testing.T) {
	t.Helper()
	log, err := os.Create(filepath.Join(w.dir, "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(localtest.Fairway(t), "serve", "--config", filepath.Join(w.dir, "config"), "--ca-directory", filepath.Join(w.dir, "ca"),
		"--xds-address", netip.AddrPortFrom(routerAddress, xdsPort).String(), "--secure-xds-address", "", "--webhook-address", "",
		"--debug-address", netip.AddrPortFrom(routerAddress, debugPort).String())
	cmd.Stdout, cmd.Stderr = log, log
	roots := filepath.Join(w.dir, "roots.pem")
	if err := os.WriteFile(roots, issuer().root, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots)
	if err := w.router.Namespace.Start(cmd); err != nil {
		t.Fatal(err)
	}
	w.stopControlPlane = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	t.Cleanup(w.stopControlPlane)
	if !eventually(30*time.Second, func() bool {
		_, err := w.debug("/readyz")
		return err == nil
	}) {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("the control plane is not ready:\n%s", text)
	}
}

// eventually tries until the time is over.
func eventually(within time.Duration, ok func() bool) bool {
	for end := time.Now().Add(within); ; time.Sleep(30 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// ask reads a page inside a namespace.
func ask(n *network.Namespace, url string) ([]byte, error) { return askBy(n.Dial, url) }

// askProxy reads a page of the admin interface of the proxy in a namespace,
// which a gateway has at a Unix socket only.
func askProxy(n *network.Namespace, path string) ([]byte, error) {
	return askBy(func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := n.Dial(ctx, "unix", "@"+bootstrap.AdminSocket)
		if err != nil {
			conn, err = n.Dial(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bootstrap.AdminPort).String())
		}
		return conn, err
	}, "http://proxy"+path)
}

func askBy(dial func(ctx context.Context, network, address string) (net.Conn, error), url string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

func (w *world) debug(path string) ([]byte, error) {
	return ask(w.router.Namespace, "http://"+netip.AddrPortFrom(routerAddress, debugPort).String()+path)
}

func objectKey(u *unstructured.Unstructured) string {
	return u.GetKind() + " " + strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/")
}

// run does one step and says whether all that it wants was seen.
func (w *world) run(t *testing.T, i int, s step) bool {
	t.Helper()
	stop := w.load(t, s.Under)
	if err := w.change(s); err != nil {
		t.Fatal(err)
	}
	if i == 0 {
		if err := w.learn(); err != nil {
			t.Fatal(err)
		}
		w.startControlPlane(t)
	}
	if err := w.startProxies(s.Start); err != nil {
		t.Fatal(err)
	}
	ok := true
	for n, r := range s.Requests {
		results, problem := w.expect(r)
		if problem != "" {
			t.Errorf("step %d, request %d: %s\n%s", i, n, problem, w.circumstances(r))
			ok = false
		} else if problem := w.explained(t, r, results); problem != "" {
			t.Errorf("step %d, request %d: `fairway test` says otherwise than what Envoy did: %s\n\trequest: %+v\n\tEnvoy: %v", i, n, problem, r, results[0])
		}
	}
	for _, f := range s.Findings {
		var all []byte
		if !eventually(5*time.Second, func() bool {
			all, _ = w.debug("/debug/findings")
			return strings.Contains(string(all), f)
		}) {
			t.Errorf("step %d: no finding says %q:\n%s", i, f, all)
			ok = false
		}
	}
	return stop() && ok
}

// change writes and removes the objects of a step.
func (w *world) change(s step) error {
	for i, name := range s.Delete {
		if i > 0 {
			time.Sleep(s.Pause)
		}
		kind, rest, _ := strings.Cut(name, " ")
		if !strings.Contains(rest, "/") && kind != "Namespace" && kind != "Node" {
			rest = "default/" + rest
		}
		u := w.objects[kind+" "+rest]
		if u == nil {
			return fmt.Errorf("deleting %s: there is none", name)
		}
		delete(w.objects, objectKey(u))
		if err := w.removeObject(u); err != nil {
			return err
		}
	}
	for i, u := range s.objects {
		if i > 0 {
			time.Sleep(s.Pause)
		}
		if err := w.applyObject(u); err != nil {
			return fmt.Errorf("applying %s: %w", objectKey(u), err)
		}
	}
	return w.joinServices()
}

func (w *world) removeObject(u *unstructured.Unstructured) error {
	if u.GetKind() == "Deployment" {
		return w.scale(u, 0)
	}
	if err := os.Remove(w.file(u)); err != nil {
		return fmt.Errorf("removing %s: %w", objectKey(u), err)
	}
	return nil
}

func (w *world) applyObject(u *unstructured.Unstructured) error {
	if ns := u.GetNamespace(); ns != "" && w.objects["Namespace "+ns] == nil {
		n := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns}}}
		if err := w.applyObject(n); err != nil {
			return err
		}
	}
	if old := w.objects[objectKey(u)]; old != nil {
		u.SetCreationTimestamp(old.GetCreationTimestamp())
		if ip, _, _ := unstructured.NestedString(old.Object, "spec", "clusterIP"); ip != "" && u.GetKind() == "Service" {
			_ = unstructured.SetNestedField(u.Object, ip, "spec", "clusterIP")
		}
	}
	if age := u.GetCreationTimestamp(); age.IsZero() {
		w.created++
		age.Time = time.Date(2026, 1, 1, 0, 0, w.created, 0, time.UTC)
		u.SetCreationTimestamp(age)
	}
	if u.GetKind() == "Service" {
		w.allocate(u)
	}
	if w.learned && objectKey(u) == meshConfig {
		teach(u)
	}
	w.objects[objectKey(u)] = u
	if u.GetKind() == "Deployment" {
		n, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
		if !found {
			n = 1
		}
		return w.scale(u, int(n))
	}
	return w.write(u)
}

func (w *world) file(u *unstructured.Unstructured) string {
	return filepath.Join(w.dir, "config", strings.NewReplacer(" ", "_", "/", "_").Replace(objectKey(u))+".yaml")
}

// write puts an object into the control plane's directory, whole.
func (w *world) write(u *unstructured.Unstructured) error {
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", objectKey(u), err)
	}
	temporary := filepath.Join(w.dir, "object")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", objectKey(u), err)
	}
	return os.Rename(temporary, w.file(u))
}
