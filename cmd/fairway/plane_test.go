package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/freeport"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
	"github.com/fairway-mesh/fairway/test/wire"
)

// beProgram is the variable of the environment that has the tests' binary be
// the program, for tests that kill it.
const beProgram = "FAIRWAY_BE_PROGRAM"

// sideBySide is how many tests run at once, most of the time of which is waiting for
// an outage to end.
const sideBySide = 4

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		main()
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(sideBySide)); err != nil {
		panic(err)
	}
	code := m.Run()
	if shared.server != nil {
		shared.server.Close()
	}
	os.Exit(code)
}

// shared is the API server with the shop of the tests that change nothing of it.
var shared struct {
	sync.Once
	server *kube.Server
}

func sharedWorld(t *testing.T) *kube.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	shared.Do(func() {
		s, err := kube.Start(context.Background(), kube.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		fill(t, s.REST)
		shared.server = s
	})
	if shared.server == nil {
		t.Fatal("there is no API server with the shop")
	}
	return shared.server
}

// plane is `fairway serve` as a process, which may be started and killed again
// and again at the same ports.
type plane struct {
	*testing.T
	xds, secure, debug, kubeconfig string
	name                           string           // of its Pod
	env                            []string         // of the process, beside ours
	command                        func() *exec.Cmd // nil: `fairway serve`
	readyPath                      string           // on the debug port; empty: /readyz

	cmd  *exec.Cmd
	gone chan struct{} // closed when the process is
	said said
}

// said is what processes write.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// newPlane is a control plane that reaches its API server by config. It is not
// started.
func newPlane(t *testing.T, config *rest.Config) *plane {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["x"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}
	c.AuthInfos["x"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "x", AuthInfo: "x"}
	c.CurrentContext = "x"
	p := &plane{T: t, xds: lasting(t), secure: lasting(t), debug: lasting(t), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	p.name = "plane-" + p.xds
	if err := clientcmd.WriteToFile(*c, p.kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// lasting is an address that nothing listens on, that no other test gets, and that
// no connection takes while the control plane is down: below the ports that
// kernels choose from.
func lasting(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.TCP(t))
}

// serve is the command of Fairway.
func (p *plane) serve() *exec.Cmd {
	p.Helper()
	program, err := os.Executable()
	if err != nil {
		p.Fatal(err)
	}
	cmd := exec.Command(program, "serve", "--kubeconfig", p.kubeconfig, "--xds-address", p.xds, "--secure-xds-address", p.secure, "--debug-address", p.debug, "--webhook-address", "")
	cmd.Env = append(append(os.Environ(), beProgram+"=1", "POD_NAME="+p.name), p.env...)
	return cmd
}

func (p *plane) start() {
	p.Helper()
	command := p.command
	if command == nil {
		command = p.serve
	}
	p.cmd = command()
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	gone, cmd := make(chan struct{}), p.cmd
	p.gone = gone
	go func() { _ = cmd.Wait(); close(gone) }()
}

func (p *plane) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// page asks the debug port.
func (p *plane) page(path string) (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get("http://" + p.debug + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err.Error()
	}
	return r.StatusCode, string(text)
}

// await waits for something, and says how long that took.
func (p *plane) await(what string, within time.Duration, is func() bool) time.Duration {
	p.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > within {
			_, ready := p.page("/readyz")
			p.Fatalf("not within %s: %s\n/readyz: %s\nlog:\n%s", within, what, ready, p.said.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

func (p *plane) healthy() bool { code, _ := p.page("/healthz"); return code == http.StatusOK }
func (p *plane) ready() bool {
	code, _ := p.page(cmp.Or(p.readyPath, "/readyz"))
	return code == http.StatusOK
}

// follower is a proxy that connects again and again and keeps what it holds, as
// Envoy does. It notes what it loses, and what it is told that it knows already
// in another version.
type follower struct {
	options wire.Options
	end     func()

	mu       sync.Mutex
	client   *wire.Client
	answers  int
	lost     []string
	changed  []string
	observes bool
	held     map[snapshot.Type]map[string]string
	mute     chan struct{}     // nothing is accepted before it is closed; nil: at once
	bodies   map[string][]byte // of the endpoints that came last, by cluster
}

// node is a proxy of the world that newWorld makes.
type node struct {
	id     string
	labels map[string]any
}

var (
	sidecarNode = node{"sidecar~10.10.1.1~client-0.shop~shop.svc.cluster.local", map[string]any{"app": "client"}}
	gatewayNode = node{"router~10.10.0.9~gate-0.shop~shop.svc.cluster.local", map[string]any{"istio": "ingressgateway"}}
)

// follow connects a proxy, with what another held before; nil: nothing.
func follow(t *testing.T, p *plane, n node, before *follower) *follower {
	t.Helper()
	metadata, err := structpb.NewStruct(map[string]any{"LABELS": n.labels, "NAMESPACE": "shop", "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.32.0"})
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{bodies: map[string][]byte{}, options: wire.Options{NodeID: n.id, Delta: true, Metadata: metadata}}
	f.options.OnResponse = f.note
	if before != nil {
		f.options.Held, f.options.Wants = before.client.Held(), before.client.Wants()
		f.held, f.observes = f.options.Held, true
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.client = wire.New(f.options)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = f.client.Run(ctx, p.xds)
			f.mu.Lock()
			f.options.Held, f.options.Wants = f.client.Held(), f.client.Wants()
			f.client = wire.New(f.options)
			f.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	}()
	f.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(f.end)
	return f
}

func (f *follower) note(r wire.Response) error {
	f.mu.Lock()
	mute := f.mute
	f.mu.Unlock()
	if mute != nil {
		<-mute
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers++
	if r.Type == snapshot.Endpoint {
		for _, x := range r.Put {
			f.bodies[x.Name] = bytes.Clone(x.Body)
		}
	}
	if !f.observes {
		return nil
	}
	for _, name := range r.Removed {
		f.lost = append(f.lost, fmt.Sprintf("%v %s", r.Type, name))
	}
	for _, x := range r.Put {
		if r.Type != snapshot.Secret && f.held[r.Type][x.Name] != x.Version {
			f.changed = append(f.changed, fmt.Sprintf("%v %s", r.Type, x.Name))
		}
	}
	return nil
}

// observe says that from now on nothing is to change.
func (f *follower) observe() {
	held := f.holds()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.observes = held, true
}

// reaches tells whether the endpoints of a cluster that came last name an address.
func (f *follower) reaches(cluster, address string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Contains(f.bodies[cluster], []byte(address))
}

// heard is how many answers came.
func (f *follower) heard() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// holds is what the proxy has, apart from certificates, which are made anew.
func (f *follower) holds() map[snapshot.Type]map[string]string {
	f.mu.Lock()
	c := f.client
	f.mu.Unlock()
	held := c.Held()
	delete(held, snapshot.Secret)
	return held
}

// undisturbed fails the test when the proxy has lost anything.
func (f *follower) undisturbed(t *testing.T, what string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lost)+len(f.changed) > 0 {
		t.Errorf("%s: %s was told to remove %d resources %q and to change %d %q", what, f.options.NodeID, len(f.lost), f.lost, len(f.changed), f.changed)
	}
}

func same(a, b map[snapshot.Type]map[string]string) bool {
	for t := range snapshot.NumTypes {
		if !maps.Equal(a[t], b[t]) {
			return false
		}
	}
	return true
}

// shop is a mesh with a service, a subset and a gateway with a certificate.
const shop = `apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
` + webPod + `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: certificate}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web, shop.example.com], gateways: [front, mesh], http: [{route: [{destination: {host: web, subset: v1}}]}]}
`

// webPod is the Pod of the shop's service.
const webPod = `apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web, version: v1}}
spec: {nodeName: node-1, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 10.10.0.1, podIPs: [{ip: 10.10.0.1}], conditions: [{type: Ready, status: "True"}]}
`

// subset is the rule of a subset.
const subset = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
`

// gate is the Pod of a gateway.
const gate = `apiVersion: v1
kind: Pod
metadata: {name: gate-0, namespace: shop, labels: {istio: ingressgateway}}
spec: {nodeName: node-1, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 10.10.0.9, podIPs: [{ip: 10.10.0.9}], conditions: [{type: Ready, status: "True"}]}
`

// newWorld is an API server with the shop in it.
func newWorld(t *testing.T) *kube.Server {
	t.Helper()
	s := kubetest.Start(t, kube.Options{})
	fill(t, s.REST)
	return s
}

// fill makes the shop.
func fill(t *testing.T, config *rest.Config) {
	t.Helper()
	create(t, config, shop)
	create(t, config, gate)
	create(t, config, subset)
	certificate, key := selfSigned(t, "shop.example.com")
	create(t, config, fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: certificate, namespace: shop}\nstringData: {tls.crt: %q, tls.key: %q}\n", certificate, key))
}

// create makes objects, with their status.
func create(t *testing.T, config *rest.Config, text string) {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range strings.Split(text, "---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		plural := o.GroupVersionKind().GroupVersion().WithResource(strings.ToLower(o.GetKind()) + "s")
		r := dynamic.ResourceInterface(client.Resource(plural))
		if o.GetNamespace() != "" {
			r = client.Resource(plural).Namespace(o.GetNamespace())
		}
		status, has := o.Object["status"]
		made, err := r.Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if has {
			made.Object["status"] = status
			if _, err := r.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// removeDefinition removes a kind and waits until it is gone.
func removeDefinition(t *testing.T, config *rest.Config, name string) {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if err := r.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		time.Sleep(50 * time.Millisecond)
		_, err = r.Get(t.Context(), name, metav1.GetOptions{})
	}
}
