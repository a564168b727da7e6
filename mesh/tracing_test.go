package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestTracer(t *testing.T) {
	const providers = "extensionProviders: [{name: z, zipkin: {service: ns/Zipkin.ns.svc.cluster.local, port: 9411}}, {name: p, prometheus: {}}, {name: half, zipkin: {service: a.example}}]\n"
	for _, c := range []struct{ text, name, want string }{
		{providers, "z", "zipkin.ns.svc.cluster.local:9411"},
		{providers, "Z", "zipkin.ns.svc.cluster.local:9411"},
		{providers, "p", ""},
		{providers, "half", ""},
		{providers, "nobody", ""},
		{providers, ProxyTracer, ""},
		{"defaultConfig: {tracing: {zipkin: {address: 'zipkin.istio-system:9411'}}}", ProxyTracer, "zipkin.istio-system.svc.cluster.local:9411"},
		{"defaultConfig: {tracing: {datadog: {address: 'agent.dd.svc:8126'}}}", ProxyTracer, "agent.dd.svc.cluster.local:8126"},
		{"defaultConfig: {tracing: {zipkin: {address: 'spans.example.org:80'}}}", ProxyTracer, "spans.example.org:80"},
		{"defaultConfig: {tracing: {zipkin: {address: zipkin}}}", ProxyTracer, ""},
		{"enableTracing: false\ndefaultConfig: {tracing: {zipkin: {address: 'zipkin.istio-system:9411'}}}", ProxyTracer, ""},
	} {
		config, _, err := parseConfig(object.Ref{}, []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if x, ok := config.Tracer(c.name); ok {
			got = fmt.Sprintf("%s:%d", x.Host, x.Port)
		}
		if got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

func TestConfigFindsTracingThatIsNotThere(t *testing.T) {
	_, findings, err := parseConfig(object.Ref{}, []byte(`
extensionProviders:
- {name: a, opentelemetry: {service: a.example, port: 80, dynatraceSampler: {tenant: x, clusterId: 1}, http: {path: /, headers: [{name: key, envName: KEY}]}}}
- {name: b, lightstep: {service: a.example, port: 80}}
defaultConfig: {tracing: {zipkin: {address: nowhere}, sampling: 400}}
`))
	var got []string
	for _, f := range findings {
		got = append(got, f.Field)
	}
	want := []string{"extensionProviders[0].opentelemetry.dynatraceSampler", "extensionProviders[0]", "extensionProviders[1]", "defaultConfig.tracing", "defaultConfig.tracing.sampling"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("findings are %q, want %q (%v)", got, want, err)
	}
}

// TestTelemetriesOf: one object each for the mesh, the namespace and the
// workload, the oldest of several; and the mesh's selects nothing elsewhere.
func TestTelemetriesOf(t *testing.T) {
	w := newBuilder().world
	add := func(namespace, name string, age int, selector map[string]string) {
		ref := object.Ref{Kind: object.KindTelemetry, Namespace: namespace, Name: name}
		w.Telemetries = w.Telemetries.with(ref, &Telemetry{Ref: ref, Namespace: namespace, Created: time.Unix(int64(1000-age), 0), Selector: selector, Spec: &telemetry.Telemetry{}})
	}
	web := map[string]string{"app": "web"}
	add("istio-system", "all", 1, nil)
	add("istio-system", "root-web", 2, web)
	add("shop", "web", 9, web) // older than the namespace's, and nearer all the same
	add("shop", "web-young", 3, web)
	add("shop", "shop", 5, nil)
	add("shop", "shop-young", 4, nil)
	for _, c := range []struct {
		namespace string
		labels    map[string]string
		want      []string
	}{
		{"shop", web, []string{"all", "shop", "web"}},
		{"shop", nil, []string{"all", "shop"}},
		{"other", web, []string{"all"}},
		{"istio-system", web, []string{"all", "root-web"}},
	} {
		var got []string
		for _, x := range w.ClientTelemetriesOf(c.namespace, c.labels) {
			got = append(got, x.Ref.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("in %s with %v: %q, want %q", c.namespace, c.labels, got, c.want)
		}
	}
}
