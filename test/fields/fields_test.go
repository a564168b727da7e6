package fields_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// kubernetes are the Go types of the kinds that hold no message.
var kubernetes = map[string]any{
	"gateway.networking.k8s.io/GatewayClass": gatewayv1.GatewayClass{}, "gateway.networking.k8s.io/Gateway": gatewayv1.Gateway{}, "gateway.networking.k8s.io/HTTPRoute": gatewayv1.HTTPRoute{},
	"gateway.networking.k8s.io/GRPCRoute": gatewayv1.GRPCRoute{}, "gateway.networking.k8s.io/TLSRoute": gatewayv1.TLSRoute{}, "gateway.networking.k8s.io/TCPRoute": gatewayv1.TCPRoute{},
	"gateway.networking.k8s.io/ReferenceGrant": gatewayv1.ReferenceGrant{}, "gateway.networking.k8s.io/BackendTLSPolicy": gatewayv1.BackendTLSPolicy{}, "gateway.networking.k8s.io/ListenerSet": gatewayv1.ListenerSet{}, "/Service": corev1.Service{}, "discovery.k8s.io/EndpointSlice": discoveryv1.EndpointSlice{},
	"networking.k8s.io/Ingress": netv1.Ingress{}, "networking.k8s.io/IngressClass": netv1.IngressClass{},
}

// walk looks at the fields of all objects of a kind.
type walk struct {
	t       *testing.T
	plane   *plane
	kind    string
	object  map[string]any // as it is now
	ref     object.Ref
	covered map[string]bool
	missed  map[string]string // the path where it was tried last
	idle    map[string]bool   // seen where all that holds them is told to do nothing
	tried   int
	shown   []string // paths of fields that showed
	hasty   bool     // nothing is tried within what is told to do nothing
}

// TestEveryField: each field of each kind, set alone on a valid object, changes what is
// served or yields a finding with its path, but for exceptions, each with its reason.
func TestEveryField(t *testing.T) {
	text, err := os.ReadFile("testdata/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	walks := map[string]*walk{}
	shapes := map[string]*shape{}
	bases := map[string][]map[string]any{}
	for _, d := range strings.Split(strings.ReplaceAll(string(text), "KEYS", strings.ReplaceAll(keys, `"`, `\"`)), "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(d), &o); err != nil {
			t.Fatal(err)
		}
		group, _, _ := strings.Cut(o["apiVersion"].(string), "/")
		if group == "v1" {
			group = ""
		}
		kind := group + "/" + o["kind"].(string)
		if walks[kind] == nil {
			walks[kind] = &walk{t: t, plane: newPlane(t, "testdata/world.yaml"), kind: kind, covered: map[string]bool{}, missed: map[string]string{}, idle: map[string]bool{}}
			shapes[kind] = shapeOf(t, o, kind)
		}
		bases[kind] = append(bases[kind], o)
	}
	var all sync.WaitGroup
	turns := make(chan struct{}, 4)
	for kind, w := range walks {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			w.plane.start(t)
			for _, o := range bases[kind] {
				w.of(o, shapes[kind])
			}
		})
	}
	all.Wait()
	report(t, walks, exceptions)
}

// shapeOf is the shape of what an object of the kind says besides its metadata and status.
func shapeOf(t *testing.T, o map[string]any, kind string) *shape {
	s := &shape{of: o["kind"].(string), kind: reflect.Struct}
	if z, ok := kubernetes[kind]; ok {
		for _, f := range goFields(reflect.TypeOf(z)) {
			if !slices.Contains([]string{"kind", "apiVersion", "metadata", "status"}, f.name) {
				s.fields = append(s.fields, f)
			}
		}
		return s
	}
	objects, _, err := informers.ParseJSON(encode(t, o))
	if err != nil || len(objects) != 1 || objects[0].Object == nil {
		t.Fatalf("%v: %v", o, err)
	}
	spec := protoShape(random.Spec(objects[0].Object).Descriptor())
	s.fields = []field{{name: "spec", of: s.of, shape: func() *shape { return spec }}}
	return s
}

func encode(t testing.TB, o any) []byte {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newPlane(t *testing.T, world string) *plane {
	t.Helper()
	text, err := os.ReadFile(world)
	if err != nil {
		t.Fatal(err)
	}
	objects, _, err := informers.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{parse: parseObject}
	for _, o := range objects {
		if o.Object == nil {
			t.Fatalf("%s: %v", o.Ref, o.Findings)
		}
		p.rest = append(p.rest, o.Change)
	}
	cert, key := random.Certificate()
	for _, ns := range []string{"shop", "other"} {
		for _, name := range []string{"cert", "cert2", "cert-cacert"} {
			p.rest = append(p.rest, mesh.Change{Ref: object.Ref{Kind: object.KindSecret, Namespace: ns, Name: name}, Object: &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": cert}}})
		}
	}
	p.rest = append(p.rest, mesh.Change{Ref: random.ConfigRef, Object: []byte(config)})
	for _, c := range []snapshot.Client{
		{Role: snapshot.RoleSidecar, Namespace: "shop", Pod: "api-1", IP: "10.0.1.3", Labels: map[string]string{"app": "api"}, NodeName: "n1"},
		{Role: snapshot.RoleSidecar, Namespace: "shop", Pod: "web-1", IP: "10.0.1.1", Labels: map[string]string{"app": "web", "version": "v1"}, NodeName: "n1"},
		{Role: snapshot.RoleSidecar, Namespace: "other", Pod: "far-1", IP: "10.0.2.1", Labels: map[string]string{"app": "far"}, NodeName: "n2"},
		{Role: snapshot.RoleRouter, Namespace: "shop", Pod: "edge-1", IP: "10.0.1.4", Labels: map[string]string{"istio": "edge"}, NodeName: "n1"},
	} {
		c.NodeID, c.Delta, c.VHDS = c.Namespace+"/"+c.Pod, true, true
		p.clients = append(p.clients, c)
	}
	return p
}

// of walks one object.
func (w *walk) of(o map[string]any, s *shape) {
	w.object = o
	objects, _, _ := informers.ParseJSON(encode(w.t, o))
	w.ref = objects[0].Ref
	w.message(o, s, "", 0)
}

// deepest is how far objects nest that are made for the walk.
const deepest = 12

// message tries each field of an object within the whole, which is at path.
func (w *walk) message(at map[string]any, s *shape, path string, depth int) {
	var base *outcome
	for _, f := range s.fields {
		here := strings.TrimPrefix(path+"."+f.name, ".")
		of := f.shape()
		before, there := at[f.name]
		if !w.covered[f.key()] {
			if base == nil {
				base = w.plane.of(w.t, w.object)
			}
			w.try(at, f, of, here, base)
		}
		if there {
			at[f.name] = before
		}
		w.within(at, f, of, here, depth)
		if there {
			at[f.name] = before
		} else {
			delete(at, f.name)
		}
	}
}

// within walks what stands in the field, or an example of it.
func (w *walk) within(at map[string]any, f field, of *shape, path string, depth int) {
	inner := of
	for inner.kind == reflect.Slice || inner.kind == reflect.Map {
		inner = inner.elem()
	}
	if inner.kind != reflect.Struct || depth > deepest || w.walked(inner, map[string]bool{}) {
		return
	}
	if _, there := at[f.name]; !there {
		defer w.accompany(at, f)()
		at[f.name] = example(of, f.key())
	}
	switch v := at[f.name].(type) {
	case map[string]any:
		if of.kind == reflect.Map {
			for k, e := range v {
				w.message(e.(map[string]any), inner, path+"["+k+"]", depth+1)
				return
			}
			return
		}
		w.message(v, inner, path, depth+1)
	case []any:
		for i, e := range v {
			w.message(e.(map[string]any), inner, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	}
}

// walked tells whether nothing is left to find out about objects of the shape.
func (w *walk) walked(s *shape, seen map[string]bool) bool {
	if seen[s.of] {
		return true
	}
	seen[s.of] = true
	for _, f := range s.fields {
		if !w.covered[f.key()] {
			return false
		}
		of := f.shape()
		for of.kind == reflect.Slice || of.kind == reflect.Map {
			of = of.elem()
		}
		if of.kind == reflect.Struct && !w.walked(of, seen) {
			return false
		}
	}
	return true
}

// try sets one field to one value after the other until something shows.
func (w *walk) try(at map[string]any, f field, of *shape, path string, base *outcome) {
	before, there := at[f.name]
	put := w.accompany(at, f)
	defer func() {
		put()
		delete(at, f.name)
		if there {
			at[f.name] = before
		}
	}()
	if _, has := companions[f.key()]; has {
		delete(at, f.name)
		base = w.plane.of(w.t, w.object)
	}
	if w.hasty && w.unsupported(base, path) {
		w.idle[f.key()] = true
		return
	}
	values := candidates(of, f.key())
	if there {
		values = append(values, nil)
	}
	for _, v := range values {
		if there && reflect.DeepEqual(v, before) {
			continue
		}
		at[f.name] = v
		if v == nil {
			delete(at, f.name)
		}
		o := w.plane.of(w.t, w.object)
		if o == nil {
			continue
		}
		w.tried++
		shows := !o.same(base) || w.told(o, base, path)
		if !shows {
			base.check(w.t)
			o.check(w.t)
			shows = w.told(o, base, path)
		}
		if shows {
			w.covered[f.key()] = true
			w.shown = append(w.shown, path)
			delete(w.missed, f.key())
			break
		}
	}
	switch {
	case w.covered[f.key()]:
	case w.unsupported(base, path):
		w.idle[f.key()] = true
	default:
		w.missed[f.key()] = path
	}
}

// accompany sets what belongs to a field, takes out what excludes it, and returns what puts
// all of it back.
func (w *walk) accompany(at map[string]any, f field) func() {
	before := maps.Clone(at)
	if text, has := companions[f.key()]; has {
		maps.Copy(at, parsed(text).(map[string]any))
	}
	for _, other := range alternatives[f.key()] {
		delete(at, other)
	}
	return func() {
		clear(at)
		maps.Copy(at, before)
	}
}

var brackets = regexp.MustCompile(`\[[^\]]*\]`)

// words are those of a message in lower case: a namespace in it does not speak of a name.
func words(message string) []string {
	return strings.FieldsFunc(strings.ToLower(message), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// told tells whether there is a finding of the object about the field that was not before:
// one with its path, or with the path of what holds it that names the field. One about what
// holds it alone may come of anything there, as where nothing of it is allowed.
func (w *walk) told(o, base *outcome, path string) bool {
	path = brackets.ReplaceAllString(path, "")
	name := path[strings.LastIndex(path, ".")+1:]
	for f := range o.findings {
		at := brackets.ReplaceAllString(f.Field, "")
		if base.findings[f] || f.Object != w.ref || at == "" {
			continue
		}
		if strings.HasPrefix(at+".", path+".") || strings.HasPrefix(path, at+".") && slices.Contains(words(f.Message), strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// unsupported tells whether what holds the field is told to do nothing, whatever is in it.
func (w *walk) unsupported(base *outcome, path string) bool {
	for f := range base.findings {
		if f.Object == w.ref && f.Code == object.CodeUnsupported && f.Field != "spec" && f.Field != "" && within(path, f.Field) {
			return true
		}
	}
	return false
}

// within tells whether a path leads to or below what a finding names, which may name an
// element of a list in place of counting.
func within(path, of string) bool {
	a, b := strings.Split(path, "."), strings.Split(of, ".")
	if len(a) < len(b) {
		return false
	}
	for i, segment := range b {
		if name, _, counted := strings.Cut(segment, "["); counted && named.MatchString(segment) {
			if there, _, _ := strings.Cut(a[i], "["); there != name {
				return false
			}
		} else if there, _, _ := strings.Cut(a[i], "["); a[i] != segment && there != segment { // or a list as a whole
			return false
		}
	}
	return true
}

var named = regexp.MustCompile(`\[.*[^0-9].*\]`)

func report(t *testing.T, walks map[string]*walk, exceptions map[string]string) {
	fields, tried, excepted, idle := 0, 0, 0, 0
	known := map[string]bool{}
	for kind, w := range walks {
		fields += len(w.covered) + len(w.missed)
		tried += w.tried
		for key := range w.idle {
			if !w.covered[key] && w.missed[key] == "" {
				fields++
				idle++
			}
		}
		for key, path := range w.missed {
			at := kind + " " + key
			known[at] = true
			if slices.ContainsFunc(w.shown, func(p string) bool { return strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") }) {
				continue // it does what is in it
			}
			if exceptions[at] != "" {
				excepted++
				continue
			}
			t.Errorf("%s: %s changes nothing, and no finding says so (tried at %s)", kind, key, path)
		}
	}
	for at := range exceptions {
		if !known[at] {
			t.Errorf("%s is an exception, and it changes something or is told", at)
		}
	}
	t.Logf("%d fields of %d kinds, tried with %d values; %d stand only where all beside them is told to do nothing; %d exceptions", fields, len(walks), tried, idle, excepted)
}
