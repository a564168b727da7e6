package random_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

const conformance = "../conformance/testdata"

// placeholder is what the cases leave to who runs them: keys and certificates.
var placeholder = regexp.MustCompile(`\$\{(JWKS|ROOT|(?:CERT|KEY) [^}]+)\}`)

func expand(text string) string {
	cert, key := random.Certificate()
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		switch {
		case strings.HasPrefix(p, "${JWKS"):
			return `{"keys":[]}`
		case strings.HasPrefix(p, "${KEY"):
			return base64.StdEncoding.EncodeToString(key)
		}
		return base64.StdEncoding.EncodeToString(cert)
	})
}

// caseMesh is the mesh of a conformance case: the objects of its world, and
// those that its steps bring later.
type caseMesh struct {
	objects map[object.Ref]any
	later   []mesh.Change
	clients []snapshot.Client
}

func readCase(t testing.TB, folder string) caseMesh {
	t.Helper()
	var head struct {
		Uses []string `json:"uses"`
	}
	text, err := os.ReadFile(filepath.Join(folder, "requests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		t.Fatal(err)
	}
	m := caseMesh{objects: map[object.Ref]any{}}
	files := []string{conformance + "/worlds/sleep.yaml"}
	for _, u := range head.Uses {
		files = append(files, conformance+"/worlds/"+u+".yaml")
	}
	for _, file := range append(files, filepath.Join(folder, "world.yaml")) {
		for _, c := range m.read(t, file) {
			m.objects[c.Ref] = c.Object
		}
	}
	steps, _ := filepath.Glob(filepath.Join(folder, "*.yaml"))
	for _, file := range steps {
		if base := filepath.Base(file); base != "world.yaml" && base != "requests.yaml" {
			m.later = append(m.later, m.read(t, file)...)
		}
	}
	return m
}

// read are the objects of a file; a Deployment is a Pod here, with a proxy.
func (m *caseMesh) read(t testing.TB, file string) (out []mesh.Change) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expanded := expand(string(text))
	objects, _, _ := informers.Parse([]byte(expanded)) // some cases hold what cannot be read
	for _, o := range objects {
		if s, ok := o.Object.(*corev1.Service); ok && s.Spec.ClusterIP == "" && s.Spec.ExternalName == "" {
			s.Spec.ClusterIP = fmt.Sprintf("10.96.1.%d", len(m.objects)+len(out)+1)
		}
		if o.Object != nil {
			out = append(out, o.Change)
		}
	}
	for doc := range strings.SplitSeq(expanded, "\n---\n") {
		var d appsv1.Deployment
		if err := yaml.Unmarshal([]byte(doc), &d); err == nil && d.Kind == "Deployment" {
			out = append(out, m.pod(d))
		}
	}
	return out
}

func (m *caseMesh) pod(d appsv1.Deployment) mesh.Change {
	ns := d.Namespace
	if ns == "" {
		ns = "default"
	}
	ip := fmt.Sprintf("10.0.9.%d", 10+len(m.clients))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: d.Name, Labels: d.Spec.Template.Labels}, Spec: d.Spec.Template.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	role := snapshot.RoleSidecar
	if d.Spec.Template.Labels["istio"] != "" {
		role = snapshot.RoleRouter
	}
	if c := (snapshot.Client{Role: role, Namespace: ns, Pod: d.Name, IP: ip, Labels: pod.Labels}); len(m.clients) < 6 && !slices.ContainsFunc(m.clients, func(o snapshot.Client) bool { return o.Namespace == ns && o.Pod == d.Name }) {
		m.clients = append(m.clients, c)
	}
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: ns, Name: d.Name}, Object: pod}
}

// words are the default ones and those of the case, which come more often.
func (m *caseMesh) words() random.Words {
	w := random.DefaultWords()
	w.Namespaces = nil
	add := func(l *[]string, s string) {
		if s != "" && !slices.Contains(*l, s) {
			*l = append(*l, s)
		}
	}
	for ref, o := range m.objects {
		add(&w.Names, ref.Name)
		add(&w.Namespaces, ref.Namespace)
		if ref.Kind == object.KindGateway {
			add(&w.Gateways, ref.Namespace+"/"+ref.Name)
		}
		hosts, _, _ := declares(o)
		for _, h := range hosts {
			add(&w.Hosts, h)
			for _, n := range calledFrom(h) {
				add(&w.Hosts, n)
			}
		}
		if spec := random.Spec(o); spec != nil {
			stringsOf(spec, func(field, text string) {
				switch field {
				case "host", "hosts":
					add(&w.Hosts, text)
				case "subset":
					add(&w.Subsets, text)
				case "credential_name":
					add(&w.Secrets, text)
				}
			})
		}
	}
	for _, l := range []*[]string{&w.Names, &w.Namespaces, &w.Gateways, &w.Hosts, &w.Subsets, &w.Secrets} {
		slices.Sort(*l) // objects come in any order
	}
	return w
}

// stringsOf calls f with all texts of a message that stand in no map.
func stringsOf(m protoreflect.Message, f func(field, text string)) {
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsMap():
		case d.IsList():
			for i := range v.List().Len() {
				if d.Message() != nil {
					stringsOf(v.List().Get(i).Message(), f)
				} else if d.Kind() == protoreflect.StringKind {
					f(string(d.Name()), v.List().Get(i).String())
				}
			}
		case d.Message() != nil:
			stringsOf(v.Message(), f)
		case d.Kind() == protoreflect.StringKind:
			f(string(d.Name()), v.String())
		}
		return true
	})
}

func caseFolders(t testing.TB) []string {
	t.Helper()
	folders, err := filepath.Glob(conformance + "/cases/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	return folders
}

// FuzzCases changes the worlds of the conformance cases: one place of one of
// their objects, an object more or less.
func FuzzCases(f *testing.F) {
	folders := caseFolders(f)
	for seed := range uint64(seeds(6)) {
		f.Add(uint16(seed*37), seed, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, n uint16, seed uint64, bytes []byte) {
		m := readCase(t, folders[int(n)%len(folders)])
		r := &run{t: t, clients: m.clients, source: &random.Source{Choices: random.NewChoices(seed, bytes), Words: m.words()}, kinds: slices.Concat(random.Kinds, random.GatewayKinds)}
		r.plane = started(t, r.clients, m.objects)
		mustBeValid(t, r.plane.contents())
		for range 10 {
			r.step(r.next())
		}
		for _, c := range m.later {
			r.step(c)
		}
	})
}
