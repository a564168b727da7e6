package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/mesh"
)

// replaced are the fields of a Pod that injection changes although the Pod sets them, by
// the container and the path in it, each with its reason.
var replaced = map[string]string{
	"web livenessProbe.httpGet": ofProbes, "web livenessProbe.tcpSocket": ofProbes, "web livenessProbe.grpc": ofProbes,
	"web readinessProbe.httpGet": ofProbes, "web readinessProbe.tcpSocket": ofProbes, "web readinessProbe.grpc": ofProbes,
	"web startupProbe.httpGet": ofProbes, "web startupProbe.tcpSocket": ofProbes, "web startupProbe.grpc": ofProbes,
	"web lifecycle.postStart.httpGet": ofProbes, "web lifecycle.preStop.httpGet": ofProbes,
}

const ofProbes = "the kubelet asks the proxy, which asks the application as the kubelet would have"

// TestNoFieldOfAPodIsLost: each field of a Pod's spec, of its containers and of the
// container by which it changes its proxy, set alone, is in the injected Pod as it was, or
// the error or a note names it, or it is replaced for a reason that stands here.
func TestNoFieldOfAPodIsLost(t *testing.T) {
	ours := func(gateway bool, containers ...corev1.Container) *corev1.Pod {
		return web(func(p *corev1.Pod) {
			if gateway {
				p.Annotations[TemplatesName], p.Spec.Containers = "gateway", nil
			}
			p.Spec.Containers = append(p.Spec.Containers, containers...)
		})
	}
	inside := web(func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "before", Image: "before:1"}, auto(nil)}
	})
	container := reflect.TypeFor[corev1.Container]()
	count, seen := 0, map[string]bool{}
	for _, c := range []struct {
		what, list string
		index      int
		of         reflect.Type
		pod        *corev1.Pod
	}{
		{"pod", "", 0, reflect.TypeFor[corev1.PodSpec](), web(nil)},
		{"gateway", "", 0, reflect.TypeFor[corev1.PodSpec](), ours(true, auto(nil))},
		{"web", "containers", 0, container, web(nil)},
		{"before", "initContainers", 0, container, inside},
		{"istio-proxy", "containers", 1, container, ours(false, auto(nil))},
		{"istio-proxy inside", "initContainers", 1, container, inside},
		{"istio-proxy of a gateway", "containers", 0, container, ours(true, auto(nil))},
	} {
		for _, f := range leavesOf(c.of, nil) {
			path := strings.Join(f.path, ".")
			if c.list == "" && (strings.HasPrefix(path, "containers.") || strings.HasPrefix(path, "initContainers.")) || c.list != "" && path == "name" {
				continue // walked by themselves; what it is known by
			}
			count++
			lost := true
			var said string
			for _, v := range f.values {
				tree := setAt(f.path, v)
				want := map[string]any{"spec": tree}
				if c.list != "" {
					list := c.pod.Spec.Containers
					if c.list == "initContainers" {
						list = c.pod.Spec.InitContainers
					}
					tree.(map[string]any)["name"] = list[c.index].Name
					want = map[string]any{"spec": map[string]any{c.list: []any{tree}}}
				}
				r, err := Inject(with(t, c.pod, want), DefaultParams())
				if err != nil {
					said = err.Error()
				} else {
					said = strings.Join(r.Notes, "\n")
				}
				if c.list != "" && err == nil { // the list in which it is now may be the other one
					all := slices.Concat(r.Pod.Spec.Containers, r.Pod.Spec.InitContainers)
					r.Pod.Spec.Containers, r.Pod.Spec.InitContainers = all, all
				}
				lost = !strings.Contains(said, f.path[len(f.path)-1]) && (err != nil || !holds(treeOf(t, r.Pod), want))
				if lost {
					break
				}
			}
			if !lost {
				continue
			}
			if at := excepted(c.what+" "+path, seen); at {
				continue
			}
			t.Errorf("%s: %s is lost, and nothing says so: %s", c.what, path, said)
		}
	}
	for at := range replaced {
		if !seen[at] {
			t.Errorf("%s is said to be replaced, and it is not", at)
		}
	}
	t.Logf("%d fields of Pods; %d exceptions", count, len(replaced))
}

// excepted tells whether a field or what holds it is replaced for a reason.
func excepted(at string, seen map[string]bool) bool {
	for known := range replaced {
		if at == known || strings.HasPrefix(at, known+".") {
			seen[known] = true
			return true
		}
	}
	return false
}

// leaf is a field of a type that holds no others, with values that it may have.
type leaf struct {
	path   []string // names in JSON; "*" stands for an element of a list, "x" for a key
	values []any
}

// leavesOf are the leaves of a type.
func leavesOf(of reflect.Type, at []string) (out []leaf) {
	one := func(values ...any) []leaf { return []leaf{{path: slices.Clone(at), values: values}} }
	switch of.String() {
	case "resource.Quantity":
		return one("7m")
	case "intstr.IntOrString":
		return one(float64(7070), "http")
	case "v1.Time":
		return one("2026-01-01T00:00:00Z")
	}
	switch of.Kind() {
	case reflect.Pointer:
		if of.Elem().Kind() == reflect.Bool {
			return one(true, false)
		}
		return leavesOf(of.Elem(), at)
	case reflect.Struct:
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "" && f.Anonymous:
				out = append(out, leavesOf(f.Type, at)...)
			case name != "" && name != "-":
				out = append(out, leavesOf(f.Type, append(slices.Clone(at), name))...)
			}
		}
		return out
	case reflect.Slice:
		return leavesOf(of.Elem(), append(slices.Clone(at), "*"))
	case reflect.Map:
		return leavesOf(of.Elem(), append(slices.Clone(at), "x"))
	case reflect.Bool:
		return one(true)
	case reflect.String:
		if len(at) > 0 && at[len(at)-1] == "restartPolicy" {
			return one("Always") // of an init container nothing else is taken
		}
		return one("v")
	}
	return one(float64(7))
}

// setAt is a tree that has nothing but a value at a path.
func setAt(path []string, v any) any {
	if len(path) == 0 {
		return v
	}
	inner := setAt(path[1:], v)
	if path[0] == "*" {
		return []any{inner}
	}
	return map[string]any{path[0]: inner}
}

// with is the Pod with what the tree says; elements of lists are found by their names.
func with(t *testing.T, pod *corev1.Pod, tree any) *corev1.Pod {
	t.Helper()
	out := &corev1.Pod{}
	text, err := json.Marshal(laid(treeOf(t, pod), tree))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func treeOf(t *testing.T, pod *corev1.Pod) (tree any) {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// laid is a tree over another.
func laid(base, over any) any {
	switch o := over.(type) {
	case map[string]any:
		b, ok := base.(map[string]any)
		if !ok {
			return over
		}
		for k, v := range o {
			b[k] = laid(b[k], v)
		}
		return b
	case []any:
		list, _ := base.([]any)
		for _, e := range o {
			i := slices.IndexFunc(list, func(b any) bool { return calledIn(b) != nil && calledIn(b) == calledIn(e) })
			if i >= 0 {
				list[i] = laid(list[i], e)
			} else {
				list = append(list, e)
			}
		}
		return list
	}
	return over
}

func calledIn(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	return m["name"]
}

// holds tells whether all that a tree says is in another.
func holds(in, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		m, ok := in.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if !holds(m[k], v) {
				return false
			}
		}
		return true
	case []any:
		list, _ := in.([]any)
		for _, e := range w {
			if !slices.ContainsFunc(list, func(i any) bool { return holds(i, e) }) {
				return false
			}
		}
		return true
	}
	return fmt.Sprint(in) == fmt.Sprint(want)
}

// TestEveryAnnotationIsFollowed: each annotation that is understood, and each field of
// proxy.istio.io/config, changes the injected Pod, or a note names it.
func TestEveryAnnotationIsFollowed(t *testing.T) {
	gateway := web(func(p *corev1.Pod) {
		p.Annotations[TemplatesName], p.Spec.Containers = "gateway", []corev1.Container{auto(nil)}
	})
	probed := web(func(p *corev1.Pod) {
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
	})
	said := map[string]string{}
	for name := range readers() {
		said[name] = "7"
	}
	maps.Copy(said, map[string]string{
		InjectName: "true", StatusName: "{}", sidecarPrefix + "logLevel": "debug", sidecarPrefix + "interceptionMode": "NONE", sidecarPrefix + "nativeSidecar": "true",
		sidecarPrefix + "rewriteAppHTTPProbers": "false", trafficPrefix + "includeOutboundIPRanges": "10.7.0.0/16", trafficPrefix + "excludeOutboundIPRanges": "10.7.0.0/16",
		mesh.LearnedScopeAnnotation: "true",
	})
	fields := (&meshconfig.ProxyConfig{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f, v := fields.Get(i), "7"
		switch f.JSONName() {
		case "holdApplicationUntilProxyStarts":
			v = "true"
		case "proxyMetadata":
			v = "{A: b}"
		case "terminationDrainDuration":
			v = "7s"
		}
		said["proxy.istio.io/config "+f.JSONName()] = v
	}
	for _, c := range []struct {
		what string
		pod  *corev1.Pod
	}{{"sidecar", probed}, {"gateway", gateway}} {
		base, err := Inject(c.pod, DefaultParams())
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range said {
			pod := c.pod.DeepCopy()
			key, field, inner := strings.Cut(name, " ")
			named := name
			if pod.Annotations[key] = v; inner {
				pod.Annotations[key], named = field+": "+v, field
			}
			r, err := Inject(pod, DefaultParams())
			if err != nil {
				t.Errorf("%s: %s: %s: %v", c.what, name, v, err)
				continue
			}
			delete(r.Pod.Annotations, key)
			if reflect.DeepEqual(r.Pod, base.Pod) && !strings.Contains(strings.Join(r.Notes, "\n"), named) && name != InjectName && field != "gatewayTopology" && name != mesh.LearnedScopeAnnotation { // the first has been asked before, the others are read from the Pod
				t.Errorf("%s: %s changes nothing, and nothing says so", c.what, name)
			}
		}
	}
}
