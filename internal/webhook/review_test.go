package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func config() Config {
	return Config{Params: inject.DefaultParams, World: func() *mesh.World { return nil }, Log: quiet()}
}

// ask posts a body, and returns what came back.
func ask(t testing.TB, path, contentType string, body []byte) (status int, answer *admissionv1.AdmissionResponse, text string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	Handler(config()).ServeHTTP(w, r)
	var review admissionv1.AdmissionReview
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
			t.Fatalf("the answer is no review: %v: %s", err, w.Body)
		}
	}
	return w.Code, review.Response, w.Body.String()
}

// reviewOf asks about an object.
func reviewOf(resource, namespace, operation, object string) []byte {
	group, version, name := "", "v1", resource
	if g, n, ok := strings.Cut(resource, "/"); ok {
		group, name = g, n
	}
	request := map[string]any{
		"uid": "1", "resource": map[string]any{"group": group, "version": version, "resource": name}, "namespace": namespace, "operation": operation,
		"object": json.RawMessage(object),
	}
	out, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		panic(err)
	}
	return out
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	good := reviewOf("pods", "shop", "CREATE", `{"spec":{"containers":[{"name":"app"}]}}`)
	for _, c := range []struct {
		what, contentType string
		body              []byte
		status            int
		says              string
	}{
		{"too large", "application/json", append([]byte(`{"padding":"`), bytes.Repeat([]byte("x"), MaxRequest)...), http.StatusRequestEntityTooLarge, "make the object smaller"},
		{"not JSON", "application/json", []byte("apiVersion: v1"), http.StatusBadRequest, "no AdmissionReview"},
		{"nothing", "application/json", nil, http.StatusBadRequest, "no AdmissionReview"},
		{"cut off", "application/json", good[:len(good)-2], http.StatusBadRequest, "no AdmissionReview"},
		{"another version", "application/json", bytes.Replace(good, []byte("admission.k8s.io/v1"), []byte("admission.k8s.io/v1beta1"), 1), http.StatusBadRequest, "send an AdmissionReview of admission.k8s.io/v1"},
		{"no request", "application/json", []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), http.StatusBadRequest, "holds no request"},
		{"YAML", "application/yaml", good, http.StatusUnsupportedMediaType, "application/json"},
	} {
		for _, path := range []string{"/inject", "/validate"} {
			status, _, text := ask(t, path, c.contentType, c.body)
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%s, %s: %d %s", c.what, path, status, text)
			}
		}
	}
	w := httptest.NewRecorder()
	Handler(config()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/inject", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestInject(t *testing.T) {
	const pod = `{"metadata":{"name":"a"%s},"spec":{%s"containers":[{"name":"app","image":"app"}]}}`
	for _, c := range []struct {
		what, resource, namespace, operation, metadata, spec string
		injected                                             bool
	}{
		{"a pod", "pods", "shop", "CREATE", ``, ``, true},
		{"a pod that says no", "pods", "shop", "CREATE", `,"labels":{"sidecar.istio.io/inject":"false"}`, ``, false},
		{"a pod that says no by annotation", "pods", "shop", "CREATE", `,"annotations":{"sidecar.istio.io/inject":"false"}`, ``, false},
		{"a pod whose label wins", "pods", "shop", "CREATE", `,"labels":{"sidecar.istio.io/inject":"true"},"annotations":{"sidecar.istio.io/inject":"false"}`, ``, true},
		{"a pod of the node's network", "pods", "shop", "CREATE", `,"labels":{"sidecar.istio.io/inject":"true"}`, `"hostNetwork":true,`, false},
		{"a pod of the system", "pods", "kube-system", "CREATE", `,"labels":{"sidecar.istio.io/inject":"true"}`, ``, false},
		{"a pod of the system that names another namespace", "pods", "kube-system", "CREATE", `,"namespace":"shop"`, ``, false},
		{"an update", "pods", "shop", "UPDATE", ``, ``, false},
		{"another resource", "apps/pods", "shop", "CREATE", ``, ``, false},
		{"a pod that has it", "pods", "shop", "CREATE", `,"annotations":{"sidecar.istio.io/status":"{}"}`, ``, false},
	} {
		object := strings.Replace(strings.Replace(pod, "%s", c.metadata, 1), "%s", c.spec, 1)
		status, answer, text := ask(t, "/inject", "application/json", reviewOf(c.resource, c.namespace, c.operation, object))
		if status != http.StatusOK || !answer.Allowed || answer.UID != "1" {
			t.Errorf("%s: %d %s", c.what, status, text)
			continue
		}
		if injected := bytes.Contains(answer.Patch, []byte("istio-proxy")); injected != c.injected || injected != (answer.PatchType != nil) {
			t.Errorf("%s: injected is %v: %s", c.what, injected, text)
		}
	}
	_, answer, _ := ask(t, "/inject", "application/json", reviewOf("pods", "shop", "CREATE", `{"metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"much"}},"spec":{"containers":[{"name":"app"}]}}`))
	if answer.Allowed || !strings.Contains(answer.Result.Message, `sidecar.istio.io/proxyCPU: "much"`) || !strings.Contains(answer.Result.Message, "correct it") {
		t.Errorf("a wrong annotation: %+v", answer)
	}
	_, answer, _ = ask(t, "/inject", "application/json", reviewOf("pods", "shop", "CREATE", `{"spec":"none"}`))
	if answer.Allowed || !strings.Contains(answer.Result.Message, "cannot be read") {
		t.Errorf("no pod: %+v", answer)
	}
}

// TestDisabledNamespace looks at the one thing that counts against a request.
func TestDisabledNamespace(t *testing.T) {
	c := config()
	for label, injected := range map[string]bool{"disabled": false, "enabled": true, "": true} {
		w := mesh.Build([]mesh.Change{namespaceWith(label)})
		c.World = func() *mesh.World { return w }
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(reviewOf("pods", "shop", "CREATE", `{"metadata":{},"spec":{"containers":[{"name":"app"}]}}`), &review); err != nil {
			t.Fatal(err)
		}
		if got := c.inject(t.Context(), review.Request).Patch != nil; got != injected {
			t.Errorf("label %q: injected is %v", label, got)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		what, resource, object string
		allowed                bool
		says                   string // in the message, or in a warning
	}{
		{"a good one", "networking.istio.io/virtualservices", `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a"},"spec":{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`, true, ""},
		{"a wrong value", "networking.istio.io/virtualservices", `{"apiVersion":"networking.istio.io/v1alpha3","kind":"VirtualService","metadata":{"name":"a"},"spec":{"hosts":["a b"],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`, false, `VirtualService shop/a spec.hosts[0]: "a b" is no host`},
		{"a wrong type", "networking.istio.io/destinationrules", `{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"a"},"spec":{"host":["a"]}}`, false, "DestinationRule shop/a spec.host: must be text"},
		{"an unknown field", "networking.istio.io/destinationrules", `{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"a"},"spec":{"host":"a","subset":[]}}`, true, "spec.subset: unknown field"},
		{"a kind that is not acted upon", "networking.istio.io/envoyfilters", `{"apiVersion":"networking.istio.io/v1alpha3","kind":"EnvoyFilter","metadata":{"name":"a"},"spec":{}}`, true, "EnvoyFilter shop/a kind: objects of this kind are not acted upon"},
		{"one without a name yet", "security.istio.io/authorizationpolicies", `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"generateName":"a-"},"spec":{"rules":[{"from":[{"source":{"ipBlocks":["x"]}}]}]}}`, false, `AuthorizationPolicy shop/a-… spec.rules[0].from[0].source.ipBlocks: "x"`},
		{"one that is being deleted", "networking.istio.io/gateways", `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["x"]},"spec":{}}`, true, ""},
		{"a provider that is to come", "security.istio.io/authorizationpolicies", `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"a"},"spec":{"action":"CUSTOM","provider":{"name":"later"},"rules":[{}]}}`, true, `spec.provider.name: the mesh configuration has no external authorization provider "later"`},
		{"tokens without keys", "security.istio.io/requestauthentications", `{"apiVersion":"security.istio.io/v1","kind":"RequestAuthentication","metadata":{"name":"a"},"spec":{"jwtRules":[{"issuer":"i"}]}}`, true, "is no https URL that could be asked for its keys"},
		{"a certificate that nothing gives", "networking.istio.io/gateways", `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"a"},"spec":{"servers":[{"port":{"number":443,"name":"https","protocol":"HTTPS"},"hosts":["*"],"tls":{"mode":"SIMPLE"}}]}}`, false, "spec.servers[0].tls"},
		{"no object", "networking.istio.io/gateways", `[]`, false, "holds no object"},
	} {
		status, answer, text := ask(t, "/validate", "application/json", reviewOf(c.resource, "shop", "CREATE", c.object))
		if status != http.StatusOK || answer.Allowed != c.allowed {
			t.Errorf("%s: %d %s", c.what, status, text)
			continue
		}
		said := strings.Join(answer.Warnings, "\n")
		if !c.allowed {
			said = answer.Result.Message
		}
		if !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: it says %q, want %q", c.what, said, c.says)
		}
	}
}

// TestGatewayAPIIsNotRefused: what its status will say is a warning, and none to
// who uses another controller.
func TestGatewayAPIIsNotRefused(t *testing.T) {
	c := config()
	w := mesh.Build(nil)
	c.World = func() *mesh.World { return w }
	for class, says := range map[string]string{"istio": "Gateway shop/a spec.listeners[0]: protocol UDP is not supported", "theirs": ""} {
		object := `{"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"a"},"spec":{"gatewayClassName":"` + class + `","listeners":[{"name":"x","port":53,"protocol":"UDP"}]}}`
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(reviewOf("gateway.networking.k8s.io/gateways", "shop", "CREATE", object), &review); err != nil {
			t.Fatal(err)
		}
		answer := c.validate(t.Context(), review.Request)
		if said := strings.Join(answer.Warnings, "\n"); !answer.Allowed || !strings.Contains(said, says) || says == "" && said != "" {
			t.Errorf("class %s: allowed %v with %q, want %q", class, answer.Allowed, said, says)
		}
	}
}

func FuzzReview(f *testing.F) {
	f.Add(reviewOf("pods", "shop", "CREATE", `{"spec":{"containers":[{"name":"app"}]}}`), true)
	f.Add(reviewOf("networking.istio.io/virtualservices", "shop", "CREATE", `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a"},"spec":{"hosts":["a"],"tls":[null],"http":[{"route":[{}]},null]}}`), false)
	f.Add(reviewOf("networking.istio.io/gateways", "shop", "UPDATE", `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"a"},"spec":{"servers":[null,{"hosts":[""]}]}}`), false)
	f.Add(reviewOf("networking.istio.io/sidecars", "shop", "UPDATE", `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"a"},"spec":{"egress":[null,{"hosts":["/"]}],"ingress":[null]}}`), false)
	f.Fuzz(func(t *testing.T, body []byte, inject bool) {
		path := "/validate"
		if inject {
			path = "/inject"
		}
		status, answer, _ := ask(t, path, "application/json", body)
		if (status == http.StatusOK) != (answer != nil) {
			t.Errorf("status %d with %v", status, answer)
		}
	})
}

// FuzzValidate looks deeper than FuzzReview: at what stands in an object.
func FuzzValidate(f *testing.F) {
	for kind, specs := range map[string][]string{
		"networking.istio.io/v1 VirtualService":      {`{"hosts":["a"],"http":[null,{"match":[null,{"uri":{}}],"route":[null,{"destination":null}],"mirrors":[null]}],"tcp":[null],"tls":[{"match":[null]}]}`},
		"networking.istio.io/v1 DestinationRule":     {`{"host":"a","subsets":[null],"trafficPolicy":{"portLevelSettings":[null],"loadBalancer":{"localityLbSetting":{"distribute":[null]}}}}`},
		"networking.istio.io/v1 Gateway":             {`{"servers":[null,{"port":null,"hosts":[""]},{"port":{"number":443,"protocol":"TLS"},"hosts":["/","a/","*/*"],"tls":{}}]}`},
		"networking.istio.io/v1 ServiceEntry":        {`{"hosts":[""],"ports":[null],"endpoints":[null],"addresses":["/"]}`},
		"networking.istio.io/v1 WorkloadEntry":       {`{"address":"unix://","ports":{"":0}}`},
		"networking.istio.io/v1 Sidecar":             {`{"egress":[null,{"hosts":["","/","~"]}],"ingress":[null,{"port":null}]}`},
		"security.istio.io/v1 PeerAuthentication":    {`{"portLevelMtls":{"0":null},"selector":{}}`},
		"security.istio.io/v1 AuthorizationPolicy":   {`{"rules":[null,{"from":[null,{"source":null}],"to":[null],"when":[null]}],"action":"CUSTOM"}`},
		"security.istio.io/v1 RequestAuthentication": {`{"jwtRules":[null,{"fromHeaders":[null],"outputClaimToHeaders":[null],"jwks":"{}"}]}`},
		"telemetry.istio.io/v1 Telemetry":            {`{"accessLogging":[null,{"providers":[null],"filter":{}}],"metrics":[null,{"overrides":[null]}],"tracing":[null]}`},
	} {
		for _, spec := range specs {
			f.Add(kind, []byte(spec))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, spec []byte) {
		version, name, _ := strings.Cut(kind, " ")
		object, err := json.Marshal(map[string]any{"apiVersion": version, "kind": name, "metadata": map[string]any{"name": "a"}, "spec": json.RawMessage(spec)})
		if err != nil {
			return
		}
		status, answer, text := ask(t, "/validate", "application/json", reviewOf("x/y", "shop", "CREATE", string(object)))
		if status != http.StatusOK || !answer.Allowed && answer.Result.Message == "" {
			t.Errorf("%d %s", status, text)
		}
	})
}
