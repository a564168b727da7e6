package informers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// recorder is a mesh that remembers what it was told.
type recorder struct {
	t        *testing.T
	mu       sync.Mutex
	objects  map[object.Ref]any
	changes  []mesh.Change
	findings map[string][]object.Finding
	synced   chan struct{}
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{t: t, objects: map[object.Ref]any{}, findings: map[string][]object.Finding{}, synced: make(chan struct{})}
}

func (r *recorder) sink(changes []mesh.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		r.changes = append(r.changes, c)
		if _, unread := c.Object.(mesh.Unread); unread || c.Object == nil {
			delete(r.objects, c.Ref)
		} else {
			r.objects[c.Ref] = c.Object
		}
	}
}

func (r *recorder) report(what string, list []object.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(list) == 0 {
		delete(r.findings, what)
	} else {
		r.findings[what] = list
	}
}

// refs are the objects that the mesh has, in order.
func (r *recorder) refs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for ref := range r.objects {
		out = append(out, ref.String())
	}
	slices.Sort(out)
	return out
}

func (r *recorder) object(kind object.Kind, namespace, name string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.objects[object.Ref{Kind: kind, Namespace: namespace, Name: name}]
}

// since are the changes after the first n, as "Kind ns/name" or "-Kind ns/name".
func (r *recorder) since(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, c := range r.changes[n:] {
		s := c.Ref.String()
		if c.Object == nil {
			s = "-" + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.changes)
}

// said are all findings in force, one line each.
func (r *recorder) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, list := range maps.All(r.findings) {
		for _, f := range list {
			out = append(out, fmt.Sprintf("%s %s %s: %s", f.Code, f.Object, f.Field, f.Message))
		}
	}
	slices.Sort(out)
	return out
}

// eventually waits until what is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("did not come about: %s", what)
}

// quietFor100ms is how long nothing must happen where nothing is expected.
const settleTime = 100 * time.Millisecond

type fixture struct {
	*recorder
	dir string
}

// follow runs a Directory over the files until the test ends.
func follow(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{newRecorder(t), t.TempDir()}
	for name, text := range files {
		f.write(name, text)
	}
	f.run(DirConfig{Path: f.dir})
	return f
}

func (f *fixture) run(c DirConfig) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	c.Report, c.Log = f.report, slog.New(slog.NewTextHandler(io.Discard, nil))
	d := NewDirectory(c)
	go func() { ended <- d.Run(ctx, f.sink, func() { close(f.synced) }) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-f.synced:
	case err := <-ended:
		ended <- err
		f.t.Fatalf("Run ended before it was synced: %v", err)
	}
}

// write replaces a file at once, as careful writers do.
func (f *fixture) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	must(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
	tmp := filepath.Join(f.t.TempDir(), "tmp")
	must(f.t, os.WriteFile(tmp, []byte(text), 0o644))
	must(f.t, os.Rename(tmp, path))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func service(name string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: shop}\nspec: {ports: [{port: 80}]}\n"
}

func virtualService(name, version, extra string) string {
	return "apiVersion: networking.istio.io/" + version + "\nkind: VirtualService\nmetadata: {name: " + name + ", namespace: shop}\nspec:\n  hosts: [" + name + "]\n" + extra
}

func TestDirectoryReadsAllThereIs(t *testing.T) {
	f := follow(t, map[string]string{
		"a.yaml":         service("a") + "---\n" + virtualService("a", "v1alpha3", "") + "---\n# nothing\n---\n",
		"b.yml":          virtualService("b", "v1beta1", ""),
		"deep/down/c.js": "not read",
		"deep/d.json":    `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","namespace":"x"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}]}`,
		".hidden.yaml":   service("hidden"),
		"e.yaml":         "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: e, namespace: shop}\n",
		"f.yaml":         "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: f}\n---\nkind: Role\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: f}\n",
	})
	want := []string{"Node n", "Pod default/p", "Service shop/a", "Service shop/e", "VirtualService shop/a", "VirtualService shop/b"}
	if diff := cmp.Diff(want, f.refs()); diff != "" {
		t.Error(diff)
	}
	if said := f.said(); len(said) > 0 {
		t.Errorf("findings about what is well: %q", said)
	}
	if vs, ok := f.object(object.KindVirtualService, "shop", "a").(*networkingv1.VirtualService); !ok || vs.Spec.Hosts[0] != "a" {
		t.Errorf("a VirtualService of v1alpha3 became %T", vs)
	}
}

func TestDirectoryChangesExactlyWhatChanged(t *testing.T) {
	two := service("a") + "---\n" + service("b")
	for _, c := range []struct {
		name   string
		before map[string]string
		do     func(f *fixture)
		want   []string
	}{
		{"one object of two", map[string]string{"x.yaml": two}, func(f *fixture) { f.write("x.yaml", service("a")+"---\n"+strings.Replace(service("b"), "80", "81", 1)) }, []string{"Service shop/b"}},
		{"an object less", map[string]string{"x.yaml": two}, func(f *fixture) { f.write("x.yaml", service("a")) }, []string{"-Service shop/b"}},
		{"an object more", map[string]string{"x.yaml": service("a")}, func(f *fixture) { f.write("x.yaml", two) }, []string{"Service shop/b"}},
		{"a file more", map[string]string{"x.yaml": service("a")}, func(f *fixture) { f.write("y.yaml", service("b")) }, []string{"Service shop/b"}},
		{"a folder more", map[string]string{"x.yaml": service("a")}, func(f *fixture) { f.write("new/deep/y.yaml", service("b")) }, []string{"Service shop/b"}},
		{"a file less", map[string]string{"x.yaml": service("a"), "y.yaml": service("b")}, func(f *fixture) { must(f.t, os.Remove(filepath.Join(f.dir, "y.yaml"))) }, []string{"-Service shop/b"}},
		{"a folder less", map[string]string{"x.yaml": service("a"), "z/y.yaml": service("b")}, func(f *fixture) { must(f.t, os.RemoveAll(filepath.Join(f.dir, "z"))) }, []string{"-Service shop/b"}},
		{"written in place", map[string]string{"x.yaml": service("a")}, func(f *fixture) {
			must(f.t, os.WriteFile(filepath.Join(f.dir, "x.yaml"), []byte(service("c")), 0o644))
		}, []string{"-Service shop/a", "Service shop/c"}},
		{"last object of a kept file", map[string]string{"x.yaml": service("a")}, func(f *fixture) { f.write("x.yaml", "# empty\n") }, []string{"-Service shop/a"}},
		{"a link to a file elsewhere", map[string]string{"x.yaml": service("a")}, func(f *fixture) {
			at := filepath.Join(f.t.TempDir(), "far")
			must(f.t, os.WriteFile(at, []byte(service("b")), 0o644))
			must(f.t, os.Symlink(at, filepath.Join(f.dir, "y.yaml")))
		}, []string{"Service shop/b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := follow(t, c.before)
			n := f.count()
			c.do(f)
			eventually(t, fmt.Sprint(c.want), func() bool { return slices.Equal(c.want, f.since(n)) })
			time.Sleep(settleTime)
			if diff := cmp.Diff(c.want, f.since(n)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDirectoryLeavesOutWhatSaysTheSame(t *testing.T) {
	f := follow(t, map[string]string{"x.yaml": service("a"), "y.yaml": service("b")})
	n := f.count()
	for name, text := range map[string]string{
		"x.yaml": "# a remark\n" + strings.Replace(service("a"), "kind: Service\n", "kind:   'Service'\n", 1),
		"n.yaml": service("new"), // a sign that the pass is over
	} {
		f.write(name, text)
	}
	must(t, os.Rename(filepath.Join(f.dir, "y.yaml"), filepath.Join(f.dir, "z.yaml"))) // moved: never gone
	eventually(t, "the new service", func() bool { return f.object(object.KindService, "shop", "new") != nil })
	time.Sleep(settleTime)
	if diff := cmp.Diff([]string{"Service shop/new"}, f.since(n)); diff != "" {
		t.Error(diff)
	}
}

func TestDirectoryKeepsTheLastGood(t *testing.T) {
	f := follow(t, map[string]string{"x.yaml": service("a") + "---\n" + service("b"), "y.yaml": virtualService("v", "v1", "  http: [{name: first}]\n") + "---\n" + service("w")})
	n := f.count()

	f.write("x.yaml", service("a")+"---\n"+"kind: [broken\n---\n"+service("c"))
	eventually(t, "a finding about the file", func() bool { return len(f.said()) == 1 })
	if s := f.said()[0]; !strings.HasPrefix(s, "Invalid File x.yaml line 5:") || !strings.Contains(s, "last good") {
		t.Errorf("finding: %s", s)
	}
	f.write("y.yaml", virtualService("v", "v1", "  http: {name: second}\n")+"---\n"+service("x"))
	eventually(t, "a finding about the object", func() bool { return len(f.said()) == 2 })
	if s := f.said()[1]; !strings.HasPrefix(s, "Invalid VirtualService shop/v spec.http: must be a list and is an object") {
		t.Errorf("finding: %s", s)
	}
	if diff := cmp.Diff([]string{"-Service shop/w", "Service shop/x"}, f.since(n)); diff != "" {
		t.Errorf("the rest of y.yaml: %s", diff)
	}
	if vs := f.object(object.KindVirtualService, "shop", "v").(*networkingv1.VirtualService); vs.Spec.Http[0].Name != "first" {
		t.Errorf("the last good is gone: %v", &vs.Spec)
	}

	f.write("x.yaml", service("a")+"---\n"+service("c"))
	f.write("y.yaml", virtualService("v", "v1", "  http: [{name: third}]\n"))
	eventually(t, "no finding", func() bool { return len(f.said()) == 0 })
	if diff := cmp.Diff([]string{"Service shop/a", "Service shop/c", "VirtualService shop/v"}, f.refs()); diff != "" {
		t.Error(diff)
	}
}

func TestDirectoryFindings(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want string // beginning of the only finding
		used bool   // an object comes of it all the same
	}{
		{"unknown field in a spec", virtualService("v", "v1", "  http: [{route: [{destination: {host: a}, wieght: 3}]}]\n"), "UnknownField VirtualService shop/v spec.http[0].route[0].wieght: unknown field", true},
		{"unknown field beside the spec", virtualService("v", "v1", "") + "spek: {}\n", "UnknownField VirtualService shop/v spek: unknown field", true},
		{"unknown field of a Service", service("a") + "  extra: 1\n", "", false},
		{"unknown field in a Service", strings.Replace(service("a"), "port: 80", "port: 80, prot: TCP", 1), "UnknownField Service shop/a spec.ports[0].prot: unknown field", true},
		{"wrong type in a Service", strings.Replace(service("a"), "port: 80", "port: eighty", 1), "Invalid Service shop/a spec.ports.port: json: cannot unmarshal string", false},
		{"unknown enum", "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\nspec: {hosts: [a], resolution: MAYBE}\n", "Invalid ServiceEntry default/s spec.resolution: must be one of [NONE STATIC DNS", false},
		{"a number where text belongs", "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: s}\nspec: {host: a, subsets: [{name: v1, labels: {version: 1e3}}]}\n", "Invalid DestinationRule default/s spec.subsets[0].labels[version]: must be text (put it in quotes) and is a number", false},
		{"a yes where text belongs", "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: s}\nspec: {host: y}\n", "Invalid DestinationRule default/s spec.host: must be text (put it in quotes) and is true or false", false},
		{"a bad duration", virtualService("v", "v1", "  http: [{timeout: soon}]\n"), `Invalid VirtualService shop/v spec.http[0].timeout: must be a duration such as "1.5s"`, false},
		{"unknown kind", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n---\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: b}\n", "ForeignKind File x.yaml kind: objects of kind Thing.example.com are not read", false},
		{"a core kind written wrong", strings.Replace(service("a"), "Service", "Sevrice", 1), "UnknownKind Sevrice shop/a kind: there is no kind Sevrice; the object is not read: did you mean Service?", false},
		{"unknown version", virtualService("v", "v7", ""), "UnknownKind VirtualService shop/v apiVersion: there is no version v7", false},
		{"kind not acted upon", "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a}\n", "Unsupported EnvoyFilter default/a kind: objects of this kind are not acted upon", false},
		{"no name", "apiVersion: v1\nkind: Service\n", "Invalid File x.yaml line 1: a Service without a name", false},
		{"no kind", "apiVersion: v1\n", "Invalid File x.yaml line 1: not an object of the Kubernetes API: it needs apiVersion and kind", false},
		{"text", "hello", "Invalid File x.yaml line 1: not an object of the Kubernetes API", false},
		{"not YAML", "\n\na: b: c\n", "Invalid File x.yaml line 1: yaml: line 3:", false},
		{"given twice", service("a") + "---\n" + service("a"), "Conflict Service shop/a : stands in x.yaml and, once more, in x.yaml", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := follow(t, map[string]string{"x.yaml": c.text, "other.yaml": service("other")})
			said := f.said()
			if c.want == "" {
				if len(said) == 0 {
					t.Fatal("nothing was said")
				}
			} else if len(said) != 1 || !strings.HasPrefix(said[0], c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
			if used := len(f.refs()) == 2; used != c.used {
				t.Errorf("objects: %q", f.refs())
			}
			if f.object(object.KindService, "shop", "other") == nil {
				t.Error("the other file's object is gone")
			}
			must(t, os.Remove(filepath.Join(f.dir, "x.yaml")))
			eventually(t, "no finding once the file is gone", func() bool { return len(f.said()) == 0 })
		})
	}
}

func TestDirectoryFirstFileWins(t *testing.T) {
	port := func(p string) string { return strings.Replace(service("a"), "80", p, 1) }
	f := follow(t, map[string]string{"b.yaml": port("2"), "c.yaml": port("3")})
	is := func(want int32) func() bool {
		return func() bool {
			s, _ := f.object(object.KindService, "shop", "a").(*corev1.Service)
			return s != nil && s.Spec.Ports[0].Port == want
		}
	}
	if !is(2)() {
		t.Fatal("b.yaml should win")
	}
	if s := f.said(); len(s) != 1 || !strings.Contains(s[0], "stands in b.yaml and, once more, in c.yaml") {
		t.Errorf("said %q", s)
	}
	age := f.object(object.KindService, "shop", "a").(*corev1.Service).CreationTimestamp
	f.write("a.yaml", port("1"))
	eventually(t, "a.yaml wins", is(1))
	eventually(t, "two findings", func() bool { return len(f.said()) == 2 })
	must(t, os.Remove(filepath.Join(f.dir, "a.yaml")))
	eventually(t, "b.yaml wins again", is(2))
	must(t, os.Remove(filepath.Join(f.dir, "b.yaml")))
	eventually(t, "c.yaml is left", is(3))
	eventually(t, "no finding", func() bool { return len(f.said()) == 0 })
	if now := f.object(object.KindService, "shop", "a").(*corev1.Service).CreationTimestamp; !now.Equal(&age) {
		t.Error("the object became another age by moving between files")
	}
}

func TestDirectoryAge(t *testing.T) {
	f := follow(t, map[string]string{"b.yaml": service("b"), "c.yaml": service("c")})
	f.write("a.yaml", service("a")+"---\n"+strings.Replace(service("old"), "namespace: shop", "namespace: shop, creationTimestamp: 2001-02-03T04:05:06Z", 1))
	eventually(t, "a", func() bool { return f.object(object.KindService, "shop", "a") != nil })
	age := func(name string) metav1.Time {
		return f.object(object.KindService, "shop", name).(*corev1.Service).CreationTimestamp
	}
	b, c, a, old := age("b"), age("c"), age("a"), age("old")
	if !b.Equal(&c) || !b.Before(&a) {
		t.Errorf("ages %v, %v and %v: what was there together is as old, what came later is younger", b, c, a)
	}
	if old.Year() != 2001 {
		t.Errorf("a given time became %v", old)
	}
}

// TestDirectoryVolume follows a volume as the kubelet writes one for a ConfigMap.
func TestDirectoryVolume(t *testing.T) {
	f := &fixture{newRecorder(t), t.TempDir()}
	version := func(name string, files map[string]string) {
		must(t, os.Mkdir(filepath.Join(f.dir, name), 0o755))
		for file, text := range files {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(f.dir, name, file)), 0o755))
			must(t, os.WriteFile(filepath.Join(f.dir, name, file), []byte(text), 0o644))
		}
		must(t, os.Symlink(name, filepath.Join(f.dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(f.dir, "..data_tmp"), filepath.Join(f.dir, "..data")))
	}
	version("..1", map[string]string{"x.yaml": service("a"), "y.yaml": service("b"), "sub/z.yaml": service("c")})
	for _, name := range []string{"x.yaml", "y.yaml", "sub"} {
		must(t, os.Symlink("..data/"+name, filepath.Join(f.dir, name)))
	}
	f.run(DirConfig{Path: f.dir})
	if diff := cmp.Diff([]string{"Service shop/a", "Service shop/b", "Service shop/c"}, f.refs()); diff != "" {
		t.Fatal(diff)
	}
	for i := range 3 {
		n := f.count()
		name := fmt.Sprintf("..%d", i+2)
		version(name, map[string]string{"x.yaml": service("a"), "y.yaml": service("b" + name[2:]), "sub/z.yaml": service("c" + name[2:])})
		must(t, os.RemoveAll(filepath.Join(f.dir, fmt.Sprintf("..%d", i+1))))
		old := ""
		if i > 0 {
			old = fmt.Sprint(i + 1)
		}
		want := []string{"-Service shop/b" + old, "-Service shop/c" + old, "Service shop/b" + name[2:], "Service shop/c" + name[2:]}
		eventually(t, fmt.Sprint(want), func() bool { return slices.Equal(want, f.since(n)) })
	}
}

func TestDirectoryItselfIsSwapped(t *testing.T) {
	f := &fixture{newRecorder(t), t.TempDir()}
	f.write("one/x.yaml", service("a"))
	f.write("two/x.yaml", service("b"))
	at := filepath.Join(f.dir, "current")
	must(t, os.Symlink("one", at))
	f.run(DirConfig{Path: at})
	must(t, os.Symlink("two", at+"2"))
	must(t, os.Rename(at+"2", at))
	eventually(t, "the other directory's content", func() bool { return slices.Equal(f.refs(), []string{"Service shop/b"}) })
	f.write("two/x.yaml", service("c"))
	eventually(t, "a change in it", func() bool { return slices.Equal(f.refs(), []string{"Service shop/c"}) })

	must(t, os.Remove(at))
	eventually(t, "a finding", func() bool { return len(f.said()) == 1 })
	if diff := cmp.Diff([]string{"Service shop/c"}, f.refs()); diff != "" {
		t.Errorf("what was read has to stay when the directory is gone: %s", diff)
	}
	must(t, os.Symlink("one", at))
	eventually(t, "it is back", func() bool { return slices.Equal(f.refs(), []string{"Service shop/a"}) && len(f.said()) == 0 })
}

// TestDirectoryWaitsForWriters writes a file piece by piece: no part of it may
// be taken for the whole.
func TestDirectoryWaitsForWriters(t *testing.T) {
	f := follow(t, map[string]string{"x.yaml": service("a") + "---\n" + service("b")})
	n := f.count()
	w, err := os.OpenFile(filepath.Join(f.dir, "x.yaml"), os.O_WRONLY|os.O_TRUNC, 0o644)
	must(t, err)
	for _, piece := range []string{strings.Replace(service("a"), "80", "81", 1), "---\n", service("b")} {
		time.Sleep(20 * time.Millisecond)
		_, err := w.WriteString(piece)
		must(t, err)
	}
	must(t, w.Close())
	eventually(t, "the change", func() bool { return f.count() > n })
	time.Sleep(settleTime)
	if diff := cmp.Diff([]string{"Service shop/a"}, f.since(n)); diff != "" {
		t.Error(diff)
	}
}

func TestDirectoryFileThatCannotBeRead(t *testing.T) {
	f := follow(t, map[string]string{"x.yaml": service("a")})
	must(t, os.Remove(filepath.Join(f.dir, "x.yaml")))
	must(t, os.Symlink("nowhere", filepath.Join(f.dir, "y.yaml")))
	eventually(t, "a finding", func() bool { return len(f.said()) == 1 })
	if !strings.HasPrefix(f.said()[0], "Invalid File y.yaml : cannot be read") {
		t.Errorf("said %q", f.said())
	}
	f.write("y.yaml", service("b"))
	eventually(t, "its content", func() bool { return slices.Equal(f.refs(), []string{"Service shop/b"}) && len(f.said()) == 0 })
}

func TestDirectoryDoesNotExist(t *testing.T) {
	err := NewDirectory(DirConfig{Path: filepath.Join(t.TempDir(), "none")}).Run(t.Context(), func([]mesh.Change) {}, func() { t.Error("synced") })
	if err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("error %v", err)
	}
}

func TestDirectoryMeshConfig(t *testing.T) {
	f := &fixture{newRecorder(t), t.TempDir()}
	f.write("objects/x.yaml", service("a"))
	f.write("mesh.yaml", "trustDomain: one\n")
	at := filepath.Join(f.dir, "mesh.yaml")
	f.run(DirConfig{Path: filepath.Join(f.dir, "objects"), MeshConfig: at})
	is := func(want string) func() bool {
		return func() bool { b, _ := f.object(object.KindMeshConfigFile, "", at).([]byte); return string(b) == want }
	}
	if !is("trustDomain: one\n")() {
		t.Fatal("the file was not there at the start")
	}
	f.write("mesh.yaml", "trustDomain: two\n")
	eventually(t, "the new text", is("trustDomain: two\n"))
	must(t, os.WriteFile(at, []byte("trustDomain: six\n"), 0o644))
	eventually(t, "the text written in place", is("trustDomain: six\n"))
	must(t, os.Remove(at))
	eventually(t, "a finding", func() bool { return len(f.said()) == 1 })
	if !is("trustDomain: six\n")() {
		t.Error("the last good is gone")
	}
	f.write("mesh.yaml", "trustDomain: ten\n")
	eventually(t, "it is back", is("trustDomain: ten\n"))
	eventually(t, "no finding", func() bool { return len(f.said()) == 0 })
}

func TestDirectoryConfigMapsAndSecrets(t *testing.T) {
	f := follow(t, map[string]string{"x.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: a"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data: {settings: large}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: authority}
data: {ca.crt: PEM}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {tls.crt: PEM}
`})
	if diff := cmp.Diff([]string{"ConfigMap default/authority", "ConfigMap istio-system/istio", "Secret default/s"}, f.refs()); diff != "" {
		t.Error(diff)
	}
	if s := f.object(object.KindSecret, "default", "s").(*corev1.Secret); string(s.Data["tls.crt"]) != "PEM" {
		t.Errorf("stringData is lost: %v", s.Data)
	}
}
