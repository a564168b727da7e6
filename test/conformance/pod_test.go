package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/local/network"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

// Annotations of a Deployment's template, beside Istio's sidecar.istio.io/inject
// and inject.istio.io/templates.
const (
	addressAnnotation = "conformance/address" // the pod's addresses, comma separated
	hiddenAnnotation  = "conformance/hidden"  // no Pod object: a machine outside the mesh
	readyAnnotation   = "conformance/ready"   // "false": not ready
	endingAnnotation  = "conformance/ending"  // "true": being deleted
	laterAnnotation   = "conformance/later"   // the proxy starts when a step says so
	weakAnnotation    = "conformance/weak"    // the proxy says that it cannot listen on ports below 1024
)

// pod is a network namespace with an application and perhaps a proxy.
type pod struct {
	namespace, name, workload, hostname string
	labels, annotations                 map[string]string
	addresses                           []netip.Addr
	ports                               []containerPort
	serviceAccount, node                string
	listed, ready                       bool

	wire      *network.Wire
	listeners []net.Listener
	proxy     *exec.Cmd
	log       *os.File
}

type containerPort struct {
	name   string
	number uint16
}

// scale makes and removes pods until a Deployment has n, and writes their objects.
func (w *world) scale(u *unstructured.Unstructured, n int) error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-5d4f-%d", u.GetName(), i)
		p := w.pods[u.GetNamespace()+"/"+name]
		switch {
		case i < n:
			if p == nil {
				p = &pod{namespace: u.GetNamespace(), name: name, workload: u.GetName()}
			}
			if err := w.describe(p, u); err != nil {
				return err
			}
		case p == nil:
			return nil
		default:
			p.close()
			delete(w.pods, u.GetNamespace()+"/"+name)
			if p.listed {
				if err := os.Remove(w.file(p.object())); err != nil {
					return fmt.Errorf("removing pod %s: %w", name, err)
				}
			}
		}
	}
}

// describe makes the pod what the Deployment's template says now.
func (w *world) describe(p *pod, u *unstructured.Unstructured) error {
	template, _, _ := unstructured.NestedMap(u.Object, "spec", "template")
	p.labels, _, _ = unstructured.NestedStringMap(template, "metadata", "labels")
	p.annotations, _, _ = unstructured.NestedStringMap(template, "metadata", "annotations")
	if p.labels == nil {
		p.labels = map[string]string{}
	}
	p.labels["pod-template-hash"] = "5d4f"
	p.hostname, _, _ = unstructured.NestedString(template, "spec", "hostname")
	p.node, _, _ = unstructured.NestedString(template, "spec", "nodeName")
	p.serviceAccount, _, _ = unstructured.NestedString(template, "spec", "serviceAccountName")
	if p.serviceAccount == "" {
		p.serviceAccount = "default"
	}
	if p.annotations["sidecar.istio.io/inject"] == "true" && p.labels["security.istio.io/tlsMode"] == "" {
		p.labels["security.istio.io/tlsMode"] = "istio" // as injection writes it
	}
	p.listed, p.ready = p.annotations[hiddenAnnotation] == "", p.annotations[readyAnnotation] != "false" && p.annotations[endingAnnotation] == ""
	p.readPorts(template)
	if p.wire == nil {
		if err := w.create(p); err != nil {
			return fmt.Errorf("starting pod %s: %w", p.name, err)
		}
	}
	if !p.listed {
		return nil
	}
	return w.write(p.object())
}

func (p *pod) readPorts(template map[string]any) {
	p.ports = nil
	containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
	for _, c := range containers {
		list, _, _ := unstructured.NestedSlice(c.(map[string]any), "ports")
		for _, port := range list {
			fields := port.(map[string]any)
			name, _, _ := unstructured.NestedString(fields, "name")
			number, _, _ := unstructured.NestedInt64(fields, "containerPort")
			p.ports = append(p.ports, containerPort{name, uint16(number)})
		}
	}
	if len(containers) == 0 {
		p.ports = []containerPort{{"", 8080}}
	}
}

// object is the Pod as a kubelet would have it.
func (p *pod) object() *unstructured.Unstructured {
	ports := []any{}
	for _, c := range p.ports {
		ports = append(ports, map[string]any{"name": c.name, "containerPort": int64(c.number)})
	}
	ips := []any{}
	for _, a := range p.addresses {
		ips = append(ips, map[string]any{"ip": a.String()})
	}
	metadata := map[string]any{
		"name": p.name, "namespace": p.namespace, "uid": p.name + "-uid", "labels": stringsToAny(p.labels), "annotations": stringsToAny(p.annotations),
		"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": p.workload + "-5d4f", "uid": p.workload, "controller": true}},
	}
	if p.annotations[endingAnnotation] != "" {
		metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
		"spec": map[string]any{
			"nodeName": p.node, "serviceAccountName": p.serviceAccount, "hostname": p.hostname,
			"containers": []any{map[string]any{"name": "app", "image": "echo", "ports": ports}},
		},
		"status": map[string]any{
			"phase": "Running", "podIP": p.addresses[0].String(), "podIPs": ips,
			"conditions": []any{map[string]any{"type": "Ready", "status": map[bool]string{true: "True", false: "False"}[p.ready]}},
		},
	}}
}

func stringsToAny(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// create makes the namespace and starts the application.
func (w *world) create(p *pod) (err error) {
	w.podCount++
	p.addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 1, byte(w.podCount)})}
	if text := p.annotations[addressAnnotation]; text != "" {
		p.addresses = nil
		for a := range strings.SplitSeq(text, ",") {
			p.addresses = append(p.addresses, netip.MustParseAddr(a))
		}
	}
	if p.wire, err = w.router.Connect(p.addresses...); err != nil {
		return err
	}
	w.pods[p.namespace+"/"+p.name] = p
	application := &echo{workload: p.workload, pod: p.name, ledger: w.ledger}
	if p.annotations["inject.istio.io/templates"] == "gateway" {
		return nil
	}
	for _, port := range p.ports {
		address := ":" + strconv.Itoa(int(port.number))
		if port.name == "loopback" {
			address = "127.0.0.1" + address
		}
		l, err := p.wire.Listen("tcp", address)
		if err != nil {
			return err
		}
		p.listeners = append(p.listeners, l)
		go application.serve(l, strings.HasPrefix(port.name, "greeting"))
	}
	return nil
}

// meshed says whether the pod has a proxy.
func (p *pod) meshed() bool { return p.gateway() || p.annotations["sidecar.istio.io/inject"] == "true" }

func (p *pod) gateway() bool { return p.annotations["inject.istio.io/templates"] == "gateway" }

// startProxies starts the proxies that do not run yet, of those that wait the
// named ones, and waits until they are ready.
func (w *world) startProxies(named []string) error {
	for _, p := range w.pods {
		waits := p.annotations[laterAnnotation] != "" && !slices.Contains(named, p.namespace+"/"+p.workload)
		if p.meshed() && p.proxy == nil && !waits {
			if err := w.startProxy(p); err != nil {
				return fmt.Errorf("starting the proxy of %s: %w", p.name, err)
			}
		}
	}
	for _, p := range w.pods {
		if p.proxy == nil {
			continue
		}
		var err error
		if !eventually(30*time.Second, func() bool {
			_, err = askProxy(p.wire.Namespace, "/ready")
			return err == nil
		}) {
			text, _ := os.ReadFile(p.log.Name())
			return fmt.Errorf("the proxy of %s is not ready: %w\n%s", p.name, err, text[max(0, len(text)-3000):])
		}
	}
	return nil
}

func (w *world) startProxy(p *pod) error {
	if !p.gateway() {
		if err := p.wire.Do(func() error { return redirect.Apply(redirect.Default()) }); err != nil {
			return err
		}
	}
	config := bootstrap.Config{
		Role: bootstrap.Sidecar, Pod: p.name, Namespace: p.namespace, IP: p.addresses[0].String(), ServiceAccount: p.serviceAccount, Workload: p.workload,
		Labels: p.labels, XDSAddress: netip.AddrPortFrom(routerAddress, xdsPort).String(), Plaintext: true, StateOfTheWorld: w.sotw,
	}
	if p.gateway() {
		config.Role = bootstrap.Router
	}
	if p.annotations[weakAnnotation] != "" {
		config.Metadata = map[string]any{"UNPRIVILEGED_POD": "true"}
	}
	static, err := bootstrap.Render(config)
	if err != nil {
		return err
	}
	static["typed_dns_resolver_config"] = map[string]any{"name": "envoy.network.dns_resolver.cares", "typed_config": map[string]any{
		"@type":                "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
		"resolvers":            []any{map[string]any{"socket_address": map[string]any{"address": routerAddress.String(), "port_value": 53}}},
		"dns_resolver_options": map[string]any{"no_default_search_domain": true},
	}}
	text, err := json.Marshal(static)
	if err != nil {
		return err
	}
	if p.log, err = os.Create(filepath.Join(w.dir, p.name+".log")); err != nil {
		return err
	}
	// Envoy runs as another user, who may not reach the directory that it lies
	// in; an open file it may execute.
	binary, err := os.Open(w.envoy)
	if err != nil {
		return err
	}
	defer binary.Close()
	p.proxy = exec.Command("/proc/self/fd/3", append(bootstrap.Args(), "--concurrency", "1", "--drain-time-s", fmt.Sprint(int(w.drain.Seconds())), "--config-yaml", string(text))...)
	for _, v := range bootstrap.Environment(config) {
		p.proxy.Env = append(p.proxy.Env, v.Name+"="+v.Value)
	}
	p.proxy.ExtraFiles = []*os.File{binary}
	p.proxy.Stdout, p.proxy.Stderr = p.log, p.log
	p.proxy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: redirect.DefaultProxyUID, Gid: redirect.DefaultProxyGID}}
	return p.wire.Start(p.proxy)
}

func (p *pod) close() {
	for _, l := range p.listeners {
		l.Close()
	}
	if p.proxy != nil && p.proxy.Process != nil {
		_ = p.proxy.Process.Kill()
		_ = p.proxy.Wait()
		p.log.Close()
	}
	if p.wire != nil {
		p.wire.Close()
	}
}
