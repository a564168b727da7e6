package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func proxyConfig(namespace, name string, age time.Duration, fill func(*networking.ProxyConfig)) mesh.Change {
	o := &networkingv1beta1.ProxyConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}}
	fill(&o.Spec)
	return mesh.Change{Ref: object.Ref{Kind: object.KindProxyConfig, Namespace: namespace, Name: name}, Object: o}
}

// TestProxyConfig: what selects the workload is stronger than what is for its
// namespace, than what is for the mesh, field by field; and all of it is
// stronger than the pod's annotation, than the mesh's defaults.
func TestProxyConfig(t *testing.T) {
	world := mesh.Build([]mesh.Change{
		proxyConfig("istio-system", "mesh", 0, func(p *networking.ProxyConfig) {
			p.Concurrency = wrapperspb.Int32(8)
			p.EnvironmentVariables = map[string]string{"A": "mesh", "B": "mesh", "C": "mesh", "POD_NAME": "forged"}
		}),
		proxyConfig("shop", "young", 0, func(p *networking.ProxyConfig) { p.EnvironmentVariables = map[string]string{"B": "young"} }),
		proxyConfig("shop", "all", time.Hour, func(p *networking.ProxyConfig) {
			p.EnvironmentVariables = map[string]string{"B": "shop", "C": "shop", "not a name": "x"}
		}),
		proxyConfig("shop", "web", 0, func(p *networking.ProxyConfig) {
			p.Selector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}
			p.Concurrency = wrapperspb.Int32(3)
			p.EnvironmentVariables = map[string]string{"C": "web", "OTEL_RESOURCE_ATTRIBUTES": "team=web"}
			p.Image = &networking.ProxyImage{ImageType: "debug"}
		}),
		proxyConfig("other", "all", 0, func(p *networking.ProxyConfig) { p.Concurrency = wrapperspb.Int32(5) }),
	})
	c := config()
	c.World = func() *mesh.World { return world }
	c.Params = func() inject.Params {
		p := inject.DefaultParams()
		p.Environment = map[string]string{"A": "default", "D": "default", "E": "default"}
		return p
	}
	for _, x := range []struct{ app, concurrency, environment string }{
		{"web", "3", "OTEL_RESOURCE_ATTRIBUTES=service.name=web.$(POD_NAMESPACE),team=web DD_SERVICE=web.$(POD_NAMESPACE) A=mesh B=shop C=web D=annotation E=default"},
		{"api", "8", "OTEL_RESOURCE_ATTRIBUTES=service.name=api.$(POD_NAMESPACE) DD_SERVICE=api.$(POD_NAMESPACE) A=mesh B=shop C=shop D=annotation E=default"},
	} {
		proxy := injectedProxy(t, c, `{"metadata":{"name":"`+x.app+`","labels":{"app":"`+x.app+`"},"annotations":{"proxy.istio.io/config":"{concurrency: 6, proxyMetadata: {A: annotation, D: annotation}}"}},"spec":{"containers":[{"name":"app","image":"app"}]}}`)
		i := slices.Index(proxy.Args, "--concurrency")
		if i < 0 || proxy.Args[i+1] != x.concurrency {
			t.Errorf("%s: arguments are %q, want concurrency %s", x.app, proxy.Args[1:], x.concurrency)
		}
		var said []string
		for _, v := range proxy.Env {
			if v.ValueFrom == nil {
				said = append(said, v.Name+"="+v.Value)
			}
		}
		if got := strings.Join(said, " "); got != x.environment {
			t.Errorf("%s: environment is\n%s\nwant\n%s", x.app, got, x.environment)
		}
	}
	var fields []string
	for f := range world.Findings() {
		fields = append(fields, f.Object.Name+" "+f.Field)
	}
	slices.Sort(fields)
	if want := []string{"all spec.environmentVariables", "web spec.image", "young spec.selector"}; !slices.Equal(fields, want) {
		t.Errorf("findings are %q, want %q", fields, want)
	}
}

// injectedProxy is the container that injection adds to a pod.
func injectedProxy(t *testing.T, c Config, pod string) (proxy corev1.Container) {
	t.Helper()
	answer := c.inject(t.Context(), &admissionv1.AdmissionRequest{
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Operation: admissionv1.Create, Namespace: "shop",
		Object: runtime.RawExtension{Raw: []byte(pod)},
	})
	var patch []struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(answer.Patch, &patch); err != nil {
		t.Fatalf("%v: %+v", err, answer)
	}
	for _, p := range patch { // the first is the whole spec
		var spec corev1.PodSpec
		if json.Unmarshal(p.Value, &spec) != nil {
			continue
		}
		for _, x := range spec.Containers {
			if x.Name == inject.ProxyContainer {
				return x
			}
		}
	}
	t.Fatalf("no proxy was added: %.200s", answer.Patch)
	return proxy
}
