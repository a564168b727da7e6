package chart_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// TestInstall installs the chart on a real API server with RBAC, and runs the
// control plane with the rights that the chart gives it: Helm's objects are
// accepted, the rights are enough, and the API server reaches the webhooks.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real API server")
	}
	host := address(t)
	server := kubetest.Start(t, kube.Options{RBAC: true, NoCRDs: true, Arguments: []string{"--enable-aggregator-routing=true"}})
	client := kubernetes.NewForConfigOrDie(server.REST)
	dir := prepared(t)
	helm(t, "install", "fairway", dir, "--kubeconfig", server.Kubeconfig, "-n", "istio-system", "--create-namespace", "--wait=false")
	if err := server.InstallCRDs(t.Context()); err != nil { // waits for those of the chart, and adds the Gateway API
		t.Fatal(err)
	}

	run := &controlPlane{kubeconfig: account(t, server, client, "istio-system", "fairway"), host: host}
	run.start(t)
	defer run.stop()
	run.publish(t, client)

	t.Run("trust", func(t *testing.T) { testTrust(t, client) })
	t.Run("inject", func(t *testing.T) { testInject(t, client) })
	t.Run("validate", func(t *testing.T) { testValidate(t, server) })
	run.stop()
	if said := run.said(); strings.Contains(said, "forbidden") {
		t.Errorf("the rights of the chart are not enough:\n%s", said)
	}

	t.Run("upgrade", func(t *testing.T) {
		before := bundleOf(t, client)
		helm(t, "upgrade", "fairway", dir, "--kubeconfig", server.Kubeconfig, "-n", "istio-system", "--set", "proxy.logLevel=info", "--wait=false")
		if after := bundleOf(t, client); !bytes.Equal(before, after) || len(after) == 0 {
			t.Errorf("an upgrade changed the caBundle from %d to %d bytes", len(before), len(after))
		}
	})
	t.Run("uninstall", func(t *testing.T) {
		helm(t, "uninstall", "fairway", "--kubeconfig", server.Kubeconfig, "-n", "istio-system", "--no-hooks")
		out, err := exec.CommandContext(t.Context(), fairway(t), "cleanup", "--kubeconfig", server.Kubeconfig).CombinedOutput()
		if err != nil {
			t.Fatalf("cleanup: %v: %s", err, out)
		}
		nothingLeft(t, client)
	})
}

func testTrust(t *testing.T, client kubernetes.Interface) {
	eventually(t, "the caBundle is filled in", func() error {
		if len(bundleOf(t, client)) == 0 {
			return fmt.Errorf("it is empty")
		}
		return nil
	})
	want := bundleOf(t, client)
	_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), "fairway-istio-system", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/1/clientConfig/caBundle","value":"bm9uc2Vuc2U="}]`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the caBundle is repaired", func() error {
		c, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "fairway-istio-system", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !bytes.Equal(c.Webhooks[1].ClientConfig.CABundle, want) {
			return fmt.Errorf("it is %q", c.Webhooks[1].ClientConfig.CABundle)
		}
		return nil
	})
	eventually(t, "every namespace is told whom to trust", func() error {
		m, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "fairway-ca-root-cert", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if m.Data["ca.crt"] != string(want) || m.Data["token-sds.yaml"] == "" {
			return fmt.Errorf("it holds %v", m.Data)
		}
		return nil
	})
}

func testInject(t *testing.T, client kubernetes.Interface) {
	for name, labels := range map[string]map[string]string{"shop": {"istio-injection": "enabled"}, "plain": nil, "off": {"istio-injection": "disabled"}} {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		namespace, name string
		edit            func(*corev1.Pod)
		injected        bool
	}{
		{"shop", "asked-by-namespace", func(*corev1.Pod) {}, true},
		{"shop", "says-no", func(p *corev1.Pod) { p.Labels = map[string]string{"sidecar.istio.io/inject": "false"} }, false},
		{"shop", "annotation-says-no", func(p *corev1.Pod) { p.Annotations = map[string]string{"sidecar.istio.io/inject": "false"} }, false},
		{"shop", "host-network", func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false},
		{"plain", "not-asked", func(*corev1.Pod) {}, false},
		{"plain", "asks", func(p *corev1.Pod) { p.Labels = map[string]string{"sidecar.istio.io/inject": "true"} }, true},
		{"off", "not-asked", func(*corev1.Pod) {}, false},
		{"off", "asks", func(p *corev1.Pod) { p.Labels = map[string]string{"sidecar.istio.io/inject": "true"} }, true},
		{"kube-system", "asks", func(p *corev1.Pod) { p.Labels = map[string]string{"sidecar.istio.io/inject": "true"} }, false},
		{"istio-system", "the-control-plane", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "fairway", "sidecar.istio.io/inject": "true"} }, false},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
		c.edit(pod)
		got, err := client.CoreV1().Pods(c.namespace).Create(t.Context(), pod, metav1.CreateOptions{})
		if err != nil {
			t.Errorf("%s/%s: %v", c.namespace, c.name, err)
			continue
		}
		if injected := strings.Contains(fmt.Sprint(got.Spec), "istio-proxy"); injected != c.injected {
			t.Errorf("%s/%s: injected is %v, want %v", c.namespace, c.name, injected, c.injected)
		}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "wrong", Annotations: map[string]string{"sidecar.istio.io/proxyCPU": "much"}},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	_, err := client.CoreV1().Pods("shop").Create(t.Context(), pod, metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), "sidecar.istio.io/proxyCPU") || !strings.Contains(err.Error(), `"much"`) {
		t.Errorf("a wrong annotation: %v", err)
	}
}

// warnings are what kubectl would print.
type warnings struct{ list []string }

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) { w.list = append(w.list, text) }

func testValidate(t *testing.T, server *kube.Server) {
	heard := &warnings{}
	config := rest.CopyConfig(server.REST)
	config.WarningHandler = heard
	client := kubernetes.NewForConfigOrDie(config)
	create := func(resource, object string) error {
		heard.list = nil
		return client.RESTClient().Post().AbsPath("/apis/networking.istio.io/v1/namespaces/default/"+resource).
			SetHeader("Content-Type", "application/yaml").Body([]byte(object)).Do(t.Context()).Error()
	}
	err := create("virtualservices", `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {regex: "a("}}]
    route: [{destination: {host: reviews}}]
`)
	if err == nil || !strings.Contains(err.Error(), "VirtualService default/broken spec.http[0].match[0].uri.regex: ") || !strings.Contains(err.Error(), "RE2") {
		t.Errorf("a broken VirtualService: %v", err)
	}
	err = create("virtualservices", `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {generateName: early-}
spec:
  hosts: [kubernetes]
  http:
  - route: [{destination: {host: kubernetes, subset: v2}}]
  - match: [{uri: {prefix: /late}}]
    route: [{destination: {host: kubernets}}]
`)
	if err != nil {
		t.Errorf("a VirtualService that others can mend: %v", err)
	}
	for _, want := range []string{"spec.http[0].route[0].destination.subset: no DestinationRule", "spec.http[1].route[0].destination.host: no Service", "spec.http[1].match[0]: never used"} {
		if !strings.Contains(strings.Join(heard.list, "\n"), want) {
			t.Errorf("there is no warning %q in %q", want, heard.list)
		}
	}
	if err := create("sidecars", "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: quiet}\nspec: {egress: [{hosts: [./*]}]}\n"); err != nil || len(heard.list) > 0 {
		t.Errorf("a good object: %v, %q", err, heard.list)
	}
}

func bundleOf(t *testing.T, client kubernetes.Interface) []byte {
	t.Helper()
	m, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "fairway-istio-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "fairway-istio-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := m.Webhooks[0].ClientConfig.CABundle
	for _, other := range [][]byte{m.Webhooks[1].ClientConfig.CABundle, v.Webhooks[0].ClientConfig.CABundle} {
		if !bytes.Equal(first, other) {
			return nil
		}
	}
	return first
}

// nothingLeft looks for what bears one of our names.
func nothingLeft(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	for _, path := range []string{
		"/api/v1/configmaps", "/api/v1/secrets", "/api/v1/serviceaccounts", "/api/v1/services", "/apis/apps/v1/deployments", "/apis/coordination.k8s.io/v1/leases",
		"/apis/policy/v1/poddisruptionbudgets", "/apis/autoscaling/v2/horizontalpodautoscalers", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "/apis/rbac.authorization.k8s.io/v1/roles", "/apis/rbac.authorization.k8s.io/v1/rolebindings",
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
	} {
		list, err := client.(*kubernetes.Clientset).RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, trace := range []string{`"name":"fairway`, `"name":"istio`, `sh.helm.release`} {
			if bytes.Contains(list, []byte(trace)) {
				t.Errorf("%s still has %s: %s", path, trace, list)
			}
		}
	}
}

// controlPlane is `fairway serve` as a process, as a Pod would run it.
type controlPlane struct {
	kubeconfig, host string
	cmd              *exec.Cmd
	port             int // of the webhooks
	mu               sync.Mutex
	log              bytes.Buffer
}

func (c *controlPlane) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(b)
}

func (c *controlPlane) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

func (c *controlPlane) start(t *testing.T) {
	t.Helper()
	ports := freePorts(t, 3)
	c.port = ports[2]
	address := net.JoinHostPort(c.host, strconv.Itoa(c.port))
	c.cmd = exec.Command(fairway(t), "serve", "--kubeconfig", c.kubeconfig, "--xds-address=",
		fmt.Sprintf("--secure-xds-address=127.0.0.1:%d", ports[0]), fmt.Sprintf("--debug-address=127.0.0.1:%d", ports[1]), "--webhook-address="+address)
	c.cmd.Stdout, c.cmd.Stderr = c, c
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the control plane is ready", func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, c.said())
		}
		return conn.Close()
	})
}

func (c *controlPlane) stop() {
	if c.cmd == nil || c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
}

// publish makes the process the endpoint of the Service, which a kubelet and
// the controllers would do for a Pod.
func (c *controlPlane) publish(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	port, name, tcp := int32(c.port), "https-webhooks", corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "fairway-test", Labels: map[string]string{"kubernetes.io/service-name": "fairway"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{c.host}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	if _, err := client.DiscoveryV1().EndpointSlices("istio-system").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// account is a kubeconfig of a ServiceAccount that the chart has made.
func account(t *testing.T, server *kube.Server, client kubernetes.Interface, namespace, name string) string {
	t.Helper()
	r, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.LoadFromFile(server.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: r.Status.Token}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return file
}

var built struct {
	sync.Once
	program string
	err     error
}

// fairway is the program as it is in the tree.
func fairway(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "fairway-chart-")
		if err != nil {
			built.err = err
			return
		}
		built.program = filepath.Join(dir, "fairway")
		out, err := exec.CommandContext(context.Background(), "go", "build", "-o", built.program, "github.com/fairway-mesh/fairway/cmd/fairway").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.program
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.program != "" {
		_ = os.RemoveAll(filepath.Dir(built.program))
	}
	os.Exit(code)
}

// address is one of the machine that an EndpointSlice may hold: not loopback.
func address(t *testing.T) string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("the machine has no address but loopback, which no endpoint may have")
	return ""
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
