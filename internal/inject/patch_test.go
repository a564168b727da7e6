package inject

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// patched applies a patch of the three additions that Patch makes.
func patched(t *testing.T, pod, patch []byte) []byte {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(pod, &tree); err != nil {
		t.Fatal(err)
	}
	var steps []operation
	if err := json.Unmarshal(patch, &steps); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		at, path := tree, strings.Split(strings.TrimPrefix(s.Path, "/"), "/")
		for _, key := range path[:len(path)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				t.Fatalf("there is nothing at %s in %s", s.Path, pod)
			}
			at = next
		}
		if s.Op != "add" {
			t.Fatalf("unknown operation %q", s.Op)
		}
		at[path[len(path)-1]] = s.Value
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPatchIsWhatDocumentsDoes holds the webhook and the command to the same
// result, for the pods of all samples.
func TestPatchIsWhatDocumentsDoes(t *testing.T) {
	files, err := filepath.Glob("../../samples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pods := []string{`
apiVersion: v1
kind: Pod
metadata: {name: probes, labels: {app: probes}, annotations: {sidecar.istio.io/proxyCPU: 10m, traffic.sidecar.istio.io/excludeOutboundPorts: "5432"}}
spec:
  restartPolicy: Never
  someFieldOfTomorrow: {kept: true}
  initContainers: [{name: first, image: first}]
  containers:
  - {name: app, image: app, ports: [{containerPort: 8080}], livenessProbe: {httpGet: {path: /alive, port: 8080}}, readinessProbe: {tcpSocket: {port: 8080}}}
  - {name: istio-proxy, image: auto, resources: {requests: {cpu: 1m}}}
`, `
apiVersion: v1
kind: Pod
metadata: {name: gateway, annotations: {inject.istio.io/templates: gateway}}
spec: {containers: [{name: istio-proxy, image: auto}]}
`}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split("\n"+string(text), "\n---") {
			var d struct {
				Kind     string
				Metadata struct{ Name string }
				Spec     struct{ Template map[string]any }
			}
			if err := yaml.Unmarshal([]byte(document), &d); err != nil || d.Kind != "Deployment" {
				continue
			}
			d.Spec.Template["apiVersion"], d.Spec.Template["kind"] = "v1", "Pod"
			d.Spec.Template["metadata"].(map[string]any)["name"] = d.Metadata.Name
			pod, err := yaml.Marshal(d.Spec.Template)
			if err != nil {
				t.Fatal(err)
			}
			pods = append(pods, string(pod))
		}
	}
	if len(pods) < 8 {
		t.Fatalf("only %d pods", len(pods))
	}
	for _, native := range []bool{false, true} {
		for _, pod := range pods {
			p := DefaultParams()
			p.NativeSidecar = native
			var byCommand bytes.Buffer
			if err := Documents(strings.NewReader(pod), &byCommand, p, func(string, string) {}); err != nil {
				t.Fatal(err)
			}
			js, err := yaml.YAMLToJSON([]byte(pod))
			if err != nil {
				t.Fatal(err)
			}
			patch, _, err := Patch(js, p)
			if err != nil || patch == nil {
				t.Fatalf("%s, %v", patch, err)
			}
			var a, b any
			if err := yaml.Unmarshal(byCommand.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(patched(t, js, patch), &b); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("the command made\n%v\nand the webhook\n%v", a, b)
			}
			if again, _, err := Patch(patched(t, js, patch), p); err != nil || again != nil {
				t.Errorf("injecting twice: %s, %v", again, err)
			}
		}
	}
}

func TestPatchRefuses(t *testing.T) {
	for pod, want := range map[string]string{
		`{`:    "reading the pod",
		`null`: "it is null",
		`[]`:   "reading the pod",
		`{"spec":{"containers":[{"name":"app"}]},"metadata":{"annotations":{"sidecar.istio.io/logLevel":"loud"}}}`: "sidecar.istio.io/logLevel",
		`{"spec":{"containers":"many"}}`: "not a pod template",
	} {
		if patch, _, err := Patch([]byte(pod), DefaultParams()); err == nil || !strings.Contains(err.Error(), want) || patch != nil {
			t.Errorf("%s: %s, %v", pod, patch, err)
		}
	}
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","livenessProbe":{"httpGet":{"port":80}}}]}}`))
	f.Add([]byte(`{"spec":{"ContAiners":[{}]}}`))
	f.Add([]byte(`{"spec":{"containers":[{"name":"istio-proxy","image":"auto"}]},"metadata":{"annotations":{"inject.istio.io/templates":"gateway"}}}`))
	f.Fuzz(func(t *testing.T, pod []byte) {
		patch, _, err := Patch(pod, DefaultParams())
		if err != nil || patch == nil {
			return
		}
		var p corev1.Pod
		if err := json.Unmarshal(patched(t, pod, patch), &p); err != nil {
			t.Errorf("the patch makes no pod of it: %v", err)
		}
	})
}

func TestReadParams(t *testing.T) {
	p, err := ReadParams([]byte("proxyImage: envoy:1\nnativeSidecar: null\ndrainWait: 7s\nresources: {requests: {cpu: 1m}}\n"), DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if p.ProxyImage != "envoy:1" || p.NativeSidecar || p.DrainWait.Seconds() != 7 || p.Resources.Requests.Cpu().MilliValue() != 1 || len(p.Resources.Limits) != 0 {
		t.Errorf("%+v", p)
	}
	if p.InitImage != DefaultParams().InitImage {
		t.Error("what is left out does not stay")
	}
	for text, want := range map[string]string{
		"proxyImages: x":            "proxyImages",
		"imagePullPolicy: Sometime": "imagePullPolicy",
		"drainWait: soon":           "soon",
		"proxyImage: ''":            "image",
		"tokenLifetime: 1m":         "ten minutes",
		"[]":                        "cannot unmarshal",
	} {
		if _, err := ReadParams([]byte(text), DefaultParams()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
