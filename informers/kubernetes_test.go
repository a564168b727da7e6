package informers

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// shared is the API server of all tests that do no harm to it.
var shared struct {
	sync.Once
	server *kube.Server
	err    error
}

// sideBySide is how many tests run at once that wait until a link has been silent
// for long enough, or a view has grown old: that takes no processor.
const sideBySide = 16

func TestMain(m *testing.M) {
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

func apiServer(t *testing.T) *kube.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	shared.Do(func() { shared.server, shared.err = kube.Start(context.Background(), kube.Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// api writes objects to an API server.
type api struct {
	t      *testing.T
	client dynamic.Interface
	table  map[object.Kind]*kind
}

func newAPI(t *testing.T, config *rest.Config) *api {
	client, err := dynamic.NewForConfig(config)
	must(t, err)
	a := &api{t: t, client: client, table: map[object.Kind]*kind{}}
	for _, k := range kinds() {
		a.table[k.mesh] = k
	}
	return a
}

func (a *api) resource(ref object.Ref, version string) dynamic.ResourceInterface {
	k := a.table[ref.Kind]
	r := a.client.Resource(schema.GroupVersionResource{Group: k.group, Version: version, Resource: k.resource})
	if k.cluster {
		return r
	}
	return r.Namespace(ref.Namespace)
}

// apply creates or replaces an object of the body.
func (a *api) apply(ref object.Ref, version, body string) {
	a.t.Helper()
	k := a.table[ref.Kind]
	o := &unstructured.Unstructured{}
	must(a.t, yaml.Unmarshal([]byte(body), &o.Object))
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: k.group, Version: version, Kind: k.name})
	o.SetName(ref.Name)
	o.SetNamespace(ref.Namespace)
	ctx := context.Background()
	_, err := a.resource(ref, version).Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var now *unstructured.Unstructured
		now, err = a.resource(ref, version).Get(ctx, ref.Name, metav1.GetOptions{})
		must(a.t, err)
		o.SetResourceVersion(now.GetResourceVersion())
		_, err = a.resource(ref, version).Update(ctx, o, metav1.UpdateOptions{})
	}
	if err != nil {
		a.t.Fatalf("applying %s in %s: %v", ref, version, err)
	}
}

func (a *api) label(ref object.Ref, version, value string) {
	a.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"test":%q}}}`, value)
	if _, err := a.resource(ref, version).Patch(context.Background(), ref.Name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
		a.t.Fatalf("labelling %s: %v", ref, err)
	}
}

func (a *api) remove(ref object.Ref, version string) {
	a.t.Helper()
	zero := int64(0)
	if err := a.resource(ref, version).Delete(context.Background(), ref.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		a.t.Fatalf("deleting %s: %v", ref, err)
	}
}

func (a *api) namespace(name string) {
	a.t.Helper()
	a.apply(object.Ref{Kind: object.KindNamespace, Name: name}, "v1", "{}")
}

// followKube runs a Kubernetes source until the test ends.
func followKube(t *testing.T, config KubeConfig) (*recorder, *Kubernetes) {
	t.Helper()
	r := newRecorder(t)
	config.Report = r.report
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	k, err := NewKubernetes(config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx, r.sink, func() { close(r.synced) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r, k
}

func (r *recorder) awaitSync() {
	r.t.Helper()
	select {
	case <-r.synced:
	case <-time.After(30 * time.Second):
		r.t.Fatal("not synced")
	}
}

func (r *recorder) has(ref object.Ref) kubeObject {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, _ := r.objects[ref].(kubeObject)
	return o
}

func TestKubernetesEveryKindInEveryVersion(t *testing.T) {
	s := apiServer(t)
	a := newAPI(t, s.REST)
	a.namespace("every")
	r, _ := followKube(t, KubeConfig{REST: s.REST})
	r.awaitSync()
	for _, k := range kinds() {
		if k.byName() {
			continue
		}
		example, ok := examples[k.mesh]
		if !ok {
			t.Errorf("no example of %s", k.mesh)
			continue
		}
		tried := 0
		for _, version := range k.versions {
			ref := object.Ref{Kind: k.mesh, Namespace: "every", Name: "every-" + version}
			if k.cluster {
				ref.Namespace = ""
			}
			if _, err := a.resource(ref, version).List(t.Context(), metav1.ListOptions{Limit: 1}); apierrors.IsNotFound(err) {
				continue // no longer served
			}
			tried++
			t.Run(k.groupKind().String()+"/"+version, func(t *testing.T) {
				a.t, r.t = t, t
				a.apply(ref, version, example.body)
				eventually(t, "created", func() bool { return r.has(ref) != nil })
				created := r.has(ref)
				if got, want := reflect.TypeOf(created), reflect.TypeOf(k.make()); got != want {
					t.Errorf("handed on as %v, want %v", got, want)
				}
				if created.GetManagedFields() != nil || created.GetResourceVersion() != "" || created.GetName() != ref.Name || created.GetCreationTimestamp().Year() < 2000 {
					t.Errorf("metadata %#v", created)
				}
				print := fingerprint(created)
				if example.before != "" {
					a.apply(ref, version, strings.ReplaceAll(example.body, example.before, example.after))
				} else {
					a.label(ref, version, "changed")
				}
				eventually(t, "updated", func() bool { return fingerprint(r.has(ref)) != print })
				if fingerprint(created) != print {
					t.Error("an object that was handed on has changed")
				}
				if k.mesh == object.KindNamespace {
					return // needs a controller to go
				}
				a.remove(ref, version)
				eventually(t, "deleted", func() bool { return r.has(ref) == nil })
			})
		}
		if tried == 0 {
			t.Errorf("%s is not served at all", k.mesh)
		}
	}
	if said := r.said(); len(said) > 0 {
		t.Errorf("findings: %q", said)
	}
}

// TestKubernetesIsCompleteWhenSynced looks at what has been delivered at the
// very moment.
func TestKubernetesIsCompleteWhenSynced(t *testing.T) {
	s := apiServer(t)
	a := newAPI(t, s.REST)
	a.namespace("complete")
	a.namespace("istio-system")
	a.apply(object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, "v1", `data: {mesh: "trustDomain: a"}`)
	a.apply(object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "other"}, "v1", `data: {mesh: "trustDomain: b"}`)
	var want []object.Ref
	for i := range 50 {
		for _, k := range []object.Kind{object.KindService, object.KindVirtualService, object.KindHTTPRoute} {
			ref := object.Ref{Kind: k, Namespace: "complete", Name: fmt.Sprintf("c%d", i)}
			want = append(want, ref)
			a.apply(ref, "v1", examples[k].body)
		}
	}
	have := map[object.Ref]bool{}
	k, err := NewKubernetes(KubeConfig{REST: s.REST, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	must(t, k.Run(ctx, func(changes []mesh.Change) {
		for _, c := range changes {
			have[c.Ref] = true
		}
	}, cancel))
	for _, ref := range append(want, object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}) {
		if !have[ref] {
			t.Errorf("synced without %s", ref)
		}
	}
	for ref := range have {
		if ref.Kind == object.KindSecret || ref.Kind == object.KindConfigMap && ref.Name != "istio" {
			t.Errorf("delivered without being asked for: %s", ref)
		}
	}
}

func TestKubernetesWantedSecrets(t *testing.T) {
	s := apiServer(t)
	a := newAPI(t, s.REST)
	a.namespace("wanted")
	secret := func(name string) object.Ref {
		return object.Ref{Kind: object.KindSecret, Namespace: "wanted", Name: name}
	}
	a.apply(secret("a"), "v1", `stringData: {tls.crt: one}`)
	a.apply(secret("b"), "v1", `stringData: {tls.crt: two}`)
	r, k := followKube(t, KubeConfig{REST: s.REST})
	k.Want([]object.Ref{secret("a"), secret("later"), {Kind: object.KindPod, Namespace: "x", Name: "y"}})
	r.awaitSync()
	holds := func(name, text string) func() bool {
		return func() bool {
			o, _ := r.has(secret(name)).(*corev1.Secret)
			return o != nil && string(o.Data["tls.crt"]) == text
		}
	}
	eventually(t, "the wanted secret", holds("a", "one"))
	a.apply(secret("a"), "v1", `stringData: {tls.crt: three}`)
	eventually(t, "its change", holds("a", "three"))
	a.apply(secret("later"), "v1", `stringData: {tls.crt: four}`)
	eventually(t, "one that appears later", holds("later", "four"))
	k.Want([]object.Ref{secret("b"), secret("later")})
	eventually(t, "another wish", holds("b", "two"))
	eventually(t, "what is no longer wanted to be forgotten", func() bool { return r.has(secret("a")) == nil })
	a.remove(secret("later"), "v1")
	eventually(t, "a deletion", func() bool { return r.has(secret("later")) == nil })
	for _, ref := range r.refs() {
		if strings.HasPrefix(ref, "Secret ") && ref != secret("b").String() {
			t.Errorf("delivered: %s", ref)
		}
	}
}

// TestKubernetesLosesNothing cuts the connection and restarts the API server
// while objects change, so that watches cannot go on where they were.
func TestKubernetesLosesNothing(t *testing.T) {
	t.Parallel()
	s := kubetest.Start(t, kube.Options{})
	a := newAPI(t, s.REST)
	a.namespace("storm")
	wire := newWire(t, strings.TrimPrefix(s.REST.Host, "https://"))
	through := rest.CopyConfig(s.REST)
	through.Host = "https://" + wire.address
	r, _ := followKube(t, KubeConfig{REST: through})
	r.awaitSync()
	ref := func(i int) object.Ref {
		return object.Ref{Kind: []object.Kind{object.KindService, object.KindVirtualService}[i%2], Namespace: "storm", Name: fmt.Sprintf("s%d", i)}
	}
	expect := func(what string, want map[object.Ref]bool) {
		t.Helper()
		eventually(t, what, func() bool {
			for i := range 200 {
				if (r.has(ref(i)) != nil) != want[ref(i)] {
					return false
				}
			}
			return true
		})
	}
	want := map[object.Ref]bool{}
	for i := range 100 {
		a.apply(ref(i), "v1", examples[ref(i).Kind].body)
		want[ref(i)] = true
		if i%3 == 0 {
			a.remove(ref(i), "v1")
			delete(want, ref(i))
		}
	}
	expect("all changes of a storm", want)

	wire.cut(true)
	for i := range 200 {
		switch {
		case i >= 100:
			a.apply(ref(i), "v1", examples[ref(i).Kind].body)
			want[ref(i)] = true
		case want[ref(i)] && i%2 == 0:
			a.remove(ref(i), "v1")
			delete(want, ref(i))
		}
	}
	s.Stop()
	must(t, s.Resume(t.Context()))
	n := r.count()
	wire.cut(false)
	expect("what changed while the connection was cut", want)
	for _, change := range r.since(n) {
		for i := range 100 {
			if want[ref(i)] && change == ref(i).String() {
				t.Errorf("%s was handed on again and had not changed", change)
			}
		}
	}
}

// TestKubernetesDefinitionsComeAndGo starts without any custom resource, and
// without the right to read some kinds.
func TestKubernetesDefinitionsComeAndGo(t *testing.T) {
	t.Parallel()
	s := kubetest.Start(t, kube.Options{NoCRDs: true, RBAC: true})
	a := newAPI(t, s.REST)
	grant(t, s, "")
	limited := rest.CopyConfig(s.REST)
	limited.Impersonate = rest.ImpersonationConfig{UserName: "fairway"}
	var said lines
	r, _ := followKube(t, KubeConfig{REST: limited, Log: slog.New(slog.NewTextHandler(&said, nil))})
	eventually(t, "a word about the missing right", func() bool {
		return strings.Contains(said.String(), "grant the control plane") && strings.Contains(said.String(), "Node")
	})
	select {
	case <-r.synced:
		t.Fatal("synced without Nodes")
	default:
	}
	grant(t, s, "nodes")
	r.awaitSync()
	if c := strings.Count(said.String(), "kind=Node"); c != 2 { // that it cannot be read, and that it can
		t.Errorf("%d lines about Nodes:\n%s", c, said.String())
	}

	vs := object.Ref{Kind: object.KindVirtualService, Namespace: "default", Name: "v"}
	must(t, s.InstallCRDs(t.Context(), "virtualservices.networking.istio.io"))
	a.apply(vs, "v1beta1", examples[vs.Kind].body)
	eventually(t, "an object of the new kind", func() bool { return r.has(vs) != nil })

	// A definition that lets everything pass, as an older or a newer one may.
	definition := a.client.Resource(definitions)
	patch := `[{"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema","value":{"type":"object","x-kubernetes-preserve-unknown-fields":true}},
		{"op":"replace","path":"/spec/versions/1/schema/openAPIV3Schema","value":{"type":"object","x-kubernetes-preserve-unknown-fields":true}},
		{"op":"replace","path":"/spec/versions/2/schema/openAPIV3Schema","value":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}]`
	_, err := definition.Patch(t.Context(), "virtualservices.networking.istio.io", "application/json-patch+json", []byte(patch), metav1.PatchOptions{})
	must(t, err)
	bad := object.Ref{Kind: vs.Kind, Namespace: "default", Name: "bad"}
	eventually(t, "the lax definition in force", func() bool {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "bad"}, "spec": map[string]any{"hosts": 7}}}
		_, err := a.resource(bad, "v1").Create(t.Context(), o, metav1.CreateOptions{})
		return err == nil
	})
	eventually(t, "a finding", func() bool { return len(r.said()) == 1 })
	if !strings.HasPrefix(r.said()[0], "Invalid VirtualService default/bad spec.hosts: must be a list") {
		t.Errorf("said %q", r.said())
	}
	a.apply(vs, "v1", strings.ReplaceAll(examples[vs.Kind].body, "a.example", "b.example"))
	a.apply(bad, "v1", examples[vs.Kind].body)
	eventually(t, "the bad object mended", func() bool { return r.has(bad) != nil && len(r.said()) == 0 })
	print := fingerprint(r.has(bad))
	a.apply(bad, "v1", "spec: {hosts: {}}")
	eventually(t, "a finding again", func() bool { return len(r.said()) == 1 })
	if fingerprint(r.has(bad)) != print {
		t.Error("the last good is gone")
	}
	fresh, _ := followKube(t, KubeConfig{REST: limited})
	fresh.awaitSync()
	if fresh.has(vs) == nil || fresh.has(bad) != nil || len(fresh.said()) != 1 {
		t.Errorf("a list with a bad object: %q, %q", fresh.refs(), fresh.said())
	}

	must(t, definition.Delete(t.Context(), "virtualservices.networking.istio.io", metav1.DeleteOptions{}))
	eventually(t, "all objects of the kind gone", func() bool { return r.has(vs) == nil && r.has(bad) == nil && len(r.said()) == 0 })
	must(t, s.InstallCRDs(t.Context()))
	a.apply(vs, "v1", examples[vs.Kind].body)
	eventually(t, "the kind again", func() bool { return r.has(vs) != nil })
}

// grant lets the user "fairway" read everything that the mesh needs, but of
// these nodes only when asked.
func grant(t *testing.T, s *kube.Server, more string) {
	t.Helper()
	client, err := dynamic.NewForConfig(s.REST)
	must(t, err)
	read := []any{"get", "list", "watch"}
	core := []any{"services", "pods", "namespaces", "secrets", "configmaps"}
	if more != "" {
		core = append(core, more)
	}
	rule := func(groups []any, resources []any) any {
		return map[string]any{"apiGroups": groups, "resources": resources, "verbs": read}
	}
	apply := func(resource, kind string, rest map[string]any) {
		o := &unstructured.Unstructured{Object: rest}
		o.SetAPIVersion("rbac.authorization.k8s.io/v1")
		o.SetKind(kind)
		o.SetName("fairway")
		_, err := client.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: resource}).
			Apply(t.Context(), "fairway", o, metav1.ApplyOptions{FieldManager: "test", Force: true})
		must(t, err)
	}
	apply("clusterroles", "ClusterRole", map[string]any{"rules": []any{
		rule([]any{""}, core), rule([]any{"discovery.k8s.io", groupIngress, "apiextensions.k8s.io", groupNetworking, groupSecurity, groupTelemetry, groupGateway}, []any{"*"}),
	}})
	apply("clusterrolebindings", "ClusterRoleBinding", map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fairway"},
		"subjects": []any{map[string]any{"kind": "User", "name": "fairway", "apiGroup": "rbac.authorization.k8s.io"}},
	})
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wire passes TCP connections on and can be cut.
type wire struct {
	address string
	mu      sync.Mutex
	isCut   bool
	open    []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wire{address: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			w.mu.Lock()
			if err != nil || w.isCut {
				in.Close()
				if err == nil {
					out.Close()
				}
				w.mu.Unlock()
				continue
			}
			w.open = append(w.open, in, out)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
			go func() { _, _ = io.Copy(out, in); out.Close() }()
		}
	}()
	return w
}

func (w *wire) cut(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = yes
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

func TestTableNamesEveryKindOnce(t *testing.T) {
	seen := map[object.Kind]bool{}
	for _, k := range kinds() {
		if seen[k.mesh] || kindOf[k.groupKind()].mesh != k.mesh {
			t.Errorf("%s stands twice in the table", k.mesh)
		}
		seen[k.mesh] = true
		if !slices.Contains(k.versions, "v1") && k.mesh != object.KindProxyConfig {
			t.Errorf("%s has no v1", k.mesh)
		}
	}
	if diff := cmp.Diff(29, len(seen)); diff != "" {
		t.Errorf("kinds: %s", diff)
	}
}
