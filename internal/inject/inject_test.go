package inject

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

func web(change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
	}
	if change != nil {
		change(pod)
	}
	return pod
}

func TestWanted(t *testing.T) {
	enabled, disabled := map[string]string{"istio-injection": "enabled"}, map[string]string{"istio-injection": "disabled"}
	said := func(label, annotation string) *corev1.Pod {
		return web(func(p *corev1.Pod) {
			if label != "" {
				p.Labels[InjectName] = label
			}
			if annotation != "" {
				p.Annotations[InjectName] = annotation
			}
		})
	}
	for _, tc := range []struct {
		name      string
		pod       *corev1.Pod
		namespace map[string]string
		want      bool
	}{
		{"nobody asks", said("", ""), nil, false},
		{"the namespace asks", said("", ""), enabled, true},
		{"the label is stronger than the namespace: no", said("false", ""), enabled, false},
		{"the label is stronger than the namespace: yes", said("true", ""), disabled, true},
		{"the label is stronger than the annotation: yes", said("true", "false"), nil, true},
		{"the label is stronger than the annotation: no", said("false", "true"), enabled, false},
		{"the annotation is stronger than the namespace: no", said("", "false"), enabled, false},
		{"the annotation asks", said("", "true"), nil, true},
		{"the namespace refuses", said("", "true"), disabled, false},
		{"never the node's network", web(func(p *corev1.Pod) { p.Spec.HostNetwork = true; p.Labels[InjectName] = "true" }), enabled, false},
		{"never kube-system", web(func(p *corev1.Pod) { p.Namespace = "kube-system"; p.Labels[InjectName] = "true" }), enabled, false},
	} {
		if got := Wanted(tc.pod, tc.namespace); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func TestInjectLeavesItsArgumentAlone(t *testing.T) {
	pod := web(func(p *corev1.Pod) {
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
		p.Spec.Containers[0].LivenessProbe.TCPSocket.Port.IntVal = 80
	})
	before := pod.DeepCopy()
	result, err := Inject(pod, DefaultParams())
	if err != nil || !result.Changed {
		t.Fatal(result, err)
	}
	if !reflect.DeepEqual(pod, before) {
		t.Error("the given pod changed")
	}
	again, err := Inject(result.Pod, DefaultParams())
	if err != nil || again.Changed || again.Pod != result.Pod || len(again.Notes) != 1 {
		t.Errorf("injected twice: %+v %v", again, err)
	}
}

// TestNamesOfWorkloads asks what the webhook sees: pods that a controller has made.
func TestNamesOfWorkloads(t *testing.T) {
	owned := func(kind, name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Namespace: "shop", OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: name, Controller: new(true)}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "task:1"}}},
		}
	}
	run, err := Inject(owned("Job", "nightly-29384760"), DefaultParams())
	if err != nil || run.Pod.Labels["service.istio.io/canonical-name"] != "nightly" {
		t.Fatalf("a run of a CronJob is called %q: %v", run.Pod.Labels["service.istio.io/canonical-name"], err)
	}
	proxy, _ := proxyOf(run.Pod.Spec)
	if line := strings.Join(proxy.Args, " "); strings.Contains(line, "29384760") || !strings.Contains(line, `"WORKLOAD_NAME":"nightly"`) {
		t.Errorf("the proxy of a run of a CronJob is called otherwise: %s", line)
	}
	job, err := Inject(owned("Job", "once"), DefaultParams())
	if err != nil || len(job.Pod.Spec.Containers) != 1 || len(job.Pod.Spec.InitContainers) != 2 {
		t.Errorf("a Job's pod must be able to complete: %+v %v", job.Pod.Spec, err)
	}
}

func TestRefusedAnnotations(t *testing.T) {
	for annotation, want := range map[string]string{
		"sidecar.istio.io/proxyCPU=much":                                 `sidecar.istio.io/proxyCPU: "much": want a quantity`,
		"sidecar.istio.io/proxyMemoryLimit=-1Gi":                         `proxyMemoryLimit: "-1Gi"`,
		"sidecar.istio.io/logLevel=loud":                                 `logLevel: "loud": want one of trace`,
		"sidecar.istio.io/interceptionMode=TPROXY":                       "want REDIRECT or NONE",
		"sidecar.istio.io/rewriteAppHTTPProbers=maybe":                   "want true or false",
		"fairway.mesh/learnedScope=perhaps":                              "want true or false",
		"sidecar.istio.io/statsInclusionRegexps=(":                       "missing closing )",
		"traffic.sidecar.istio.io/excludeInboundPorts=http":              `excludeInboundPorts: port "http"`,
		"traffic.sidecar.istio.io/excludeOutboundPorts=*":                "excluded outbound ports: * is not allowed",
		"traffic.sidecar.istio.io/includeOutboundIPRanges=10.0.0.0/40":   `range "10.0.0.0/40"`,
		"traffic.sidecar.istio.io/excludeInterfaces=far/too":             `interface "far/too"`,
		"readiness.status.sidecar.istio.io/periodSeconds=-1":             "not negative",
		"proxy.istio.io/config=[":                                        "not a YAML mapping",
		"proxy.istio.io/config=holdApplicationUntilProxyStarts: perhaps": "field holdApplicationUntilProxyStarts",
		"proxy.istio.io/config=terminationDrainDuration: 5":              "field terminationDrainDuration",
		"inject.istio.io/templates=waypoint":                             "want sidecar or gateway",
		"inject.istio.io/templates=gateway":                              "there is no container istio-proxy",
		"inject.istio.io/templates=sidecar,spire":                        `"spire": want sidecar or gateway`,
	} {
		name, value, _ := strings.Cut(annotation, "=")
		_, err := Inject(web(func(p *corev1.Pod) { p.Annotations[name] = value }), DefaultParams())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name[:strings.Index(name, "/")]) {
			t.Errorf("%s: got %v, want an error with %q and the name", annotation, err, want)
		}
	}
}

func TestDrainWaitFitsTheGracePeriod(t *testing.T) {
	for grace, want := range map[int64]string{0: "0s", 1: "0s", 4: "2s", 30: "5s"} {
		pod := web(func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &grace })
		if got := drainWait(DefaultParams().DrainWait, pod).String(); got != want {
			t.Errorf("grace %ds: waits %s, want %s", grace, got, want)
		}
	}
}

// types decode what is injected as the API server does, unknown fields refused.
var types = map[string]func() any{
	"Pod": func() any { return &corev1.Pod{} }, "PodList": func() any { return &corev1.PodList{} },
	"PodTemplate": func() any { return &corev1.PodTemplate{} }, "ReplicationController": func() any { return &corev1.ReplicationController{} },
	"Deployment": func() any { return &appsv1.Deployment{} }, "StatefulSet": func() any { return &appsv1.StatefulSet{} },
	"DaemonSet": func() any { return &appsv1.DaemonSet{} }, "ReplicaSet": func() any { return &appsv1.ReplicaSet{} },
	"Job": func() any { return &batchv1.Job{} }, "CronJob": func() any { return &batchv1.CronJob{} },
}

// injectedPods are the pods in testdata/*.injected.*, strictly decoded.
func injectedPods(t *testing.T) (pods []corev1.PodSpec) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.injected.*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var collect func(name string, text []byte)
	collect = func(name string, text []byte) {
		var head struct {
			Kind  string
			Items []any
		}
		if err := yaml.Unmarshal(text, &head); err != nil {
			return // not an object, so not a pod
		}
		for _, item := range head.Items {
			if inner, err := yaml.Marshal(item); err == nil && head.Kind == "List" {
				collect(name, inner)
			}
		}
		known, ok := types[head.Kind]
		if !ok {
			return
		}
		object := known()
		if err := yaml.UnmarshalStrict(text, object); err != nil {
			t.Errorf("%s: %s: %v", name, head.Kind, err)
		}
		pods = append(pods, specs(reflect.ValueOf(object))...)
	}
	for _, name := range files {
		if strings.Contains(name, "untouched") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range split(text) {
			if !part.separator && !directive.Match(part.text) {
				collect(name, part.text)
			}
		}
	}
	return pods
}

// specs finds the pod specs anywhere in an object.
func specs(v reflect.Value) (found []corev1.PodSpec) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return specs(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, specs(v.Index(i))...)
		}
	case reflect.Struct:
		if spec, ok := v.Interface().(corev1.PodSpec); ok {
			return []corev1.PodSpec{spec}
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				found = append(found, specs(v.Field(i))...)
			}
		}
	}
	return found
}

// proxyOf finds the proxy's container wherever it stands.
func proxyOf(spec corev1.PodSpec) (corev1.Container, bool) {
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		if c.Name == ProxyContainer {
			return c, true
		}
	}
	return corev1.Container{}, false
}

// expand does what the kubelet does to the arguments of a container.
func expand(c corev1.Container) []string {
	values := map[string]string{
		"metadata.name": "web-1", "metadata.namespace": "shop", "status.podIP": "10.0.0.7",
		"status.podIPs": "10.0.0.7,fd00::7", "spec.serviceAccountName": "web",
	}
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = bootstrap.Expand(arg, func(name string) (string, bool) {
			for _, v := range c.Env {
				if v.Name == name && v.ValueFrom != nil {
					return values[v.ValueFrom.FieldRef.FieldPath], true
				}
			}
			return "", false
		})
	}
	return args
}

// TestInjectedPodsWork reads back what was injected: Kubernetes' types know all
// of it, every placeholder has a value, and the init container's arguments are
// those of fairway redirect.
func TestInjectedPodsWork(t *testing.T) {
	pods := injectedPods(t)
	if len(pods) < 15 {
		t.Errorf("only %d pods found", len(pods))
	}
	for _, spec := range pods {
		proxy, ok := proxyOf(spec)
		if !ok {
			t.Errorf("no proxy in %+v", spec)
			continue
		}
		if left := strings.Join(expand(proxy), " "); strings.Contains(left, "$(") && !strings.Contains(left, "verbose=$(x)") {
			t.Errorf("a placeholder has no value: %s", left[strings.Index(left, "$("):][:30])
		}
		for _, c := range spec.InitContainers {
			if c.Name != InitContainer {
				continue
			}
			cmd := redirect.NewCommand()
			cmd.SetArgs(append(expand(c)[1:], "--dry-run"))
			var out bytes.Buffer
			cmd.SetOut(&out)
			if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "table inet fairway") {
				t.Errorf("%q: %v", c.Args, err)
			}
		}
	}
}

// TestProxyUser: what runs as the proxy's user would send past the mesh, so that it
// is refused with its container and the field, wherever the user is said.
func TestProxyUser(t *testing.T) {
	as := func(user int64) *corev1.SecurityContext { return &corev1.SecurityContext{RunAsUser: &user} }
	pod := func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: as(redirect.DefaultProxyUID).RunAsUser}
	}
	for _, c := range []struct {
		what, want string // empty: it is injected
		change     func(*corev1.Pod)
	}{
		{"the container", "container web: spec.containers[0].securityContext.runAsUser is 1337", func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = as(1337) }},
		{"the pod", "container web: spec.securityContext.runAsUser is 1337", pod},
		{"the pod, but not the container", "", func(p *corev1.Pod) { pod(p); p.Spec.Containers[0].SecurityContext = as(1000) }},
		{"the second container", "container two: spec.containers[1].securityContext.runAsUser is 1337", func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "two", SecurityContext: as(1337)})
		}},
		{"an init container, as Istio documents", "", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "early", SecurityContext: as(1337)}}
		}},
		{"a sidecar of their own", "container stays: spec.initContainers[0].securityContext.runAsUser is 1337", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "stays", SecurityContext: as(1337), RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
		}},
		{"the container that changes the proxy", "", func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: ProxyContainer, Image: autoImage, SecurityContext: as(1337)})
		}},
		{"a gateway", "", func(p *corev1.Pod) {
			pod(p)
			p.Annotations[TemplatesName], p.Spec.Containers[0].Name = "gateway", ProxyContainer
		}},
		{"says no", "", func(p *corev1.Pod) { pod(p); p.Labels[InjectName] = "false" }},
	} {
		_, err := Inject(web(c.change), DefaultParams())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestImagesByDigest: an image that is given by its digest is used as it is given.
func TestImagesByDigest(t *testing.T) {
	p := DefaultParams()
	digest := "@sha256:" + strings.Repeat("0123456789abcdef", 4)
	p.ProxyImage, p.InitImage = "registry.example:5000/envoy"+digest, "registry.example/fairway"+digest
	for _, native := range []bool{false, true} {
		p.NativeSidecar = native
		r, err := Inject(web(nil), p)
		if err != nil {
			t.Fatal(err)
		}
		images := map[string]string{}
		for _, c := range append(r.Pod.Spec.InitContainers, r.Pod.Spec.Containers...) {
			images[c.Name] = c.Image
		}
		if images[ProxyContainer] != p.ProxyImage || images[InitContainer] != p.InitImage {
			t.Errorf("native %v: the images are %v", native, images)
		}
	}
	r, err := Inject(web(func(pod *corev1.Pod) {
		pod.Annotations["sidecar.istio.io/proxyImage"] = "mine" + digest
	}), p)
	if err != nil || !strings.Contains(fmt.Sprint(r.Pod.Spec.InitContainers), "mine"+digest) {
		t.Errorf("the annotation's image is not used: %v", err)
	}
}
