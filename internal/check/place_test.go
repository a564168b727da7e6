package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// placesOf are the lines at which a text has findings of a kind of object.
func placesOf(written string, kind object.Kind) (lines []int) {
	m := readManifests([]text{{"a.yaml", []byte(written)}})
	for _, e := range m.findings(nil).Entries {
		if e.Object.Kind == kind {
			lines = append(lines, e.Line)
		}
	}
	slices.Sort(lines)
	return lines
}

// TestMissingSecretsHaveAPlace: a Secret that is not there is told where it is named.
func TestMissingSecretsHaveAPlace(t *testing.T) {
	got := placesOf(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {istio: edge}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: missing}
---
{apiVersion: v1, kind: Pod, metadata: {name: edge-1, namespace: shop, labels: {istio: edge}}, spec: {containers: [{name: istio-proxy, image: c}]}, status: {phase: Running, podIP: 10.0.0.1}}
`, object.KindSecret)
	if !slices.Equal(got, []int{9}) {
		t.Errorf("the missing Secret is told at %v, want line 9", got)
	}
}

// TestSecretsAreTakenForNothingElse: what bears the name of a Secret and is none does not take
// its place.
func TestSecretsAreTakenForNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		path, text string
		want       int
	}{
		"the Gateway has its name": {"", "metadata:\n  name: web\nspec:\n  servers:\n  - tls:\n      credentialName: web # the certificate\n", 6},
		"as kubectl writes it":     {"", "metadata:\n  annotations:\n    last: |\n      {\"spec\":{\"credentialName\":\"web\"}}\nspec:\n  tls: {mode: SIMPLE, credentialName: \"web\"}\n", 6},
		"longer names":             {"", "spec:\n  port: {name: web-redirect}\n  a:\n    credentialName: web-2\n  b:\n    credentialName: 'web'\n", 6},
		"of two":                   {"", "spec:\n  credentialNames:\n  - other\n  - web\n", 4},
		"of the Gateway API":       {"", "metadata: {name: web}\nspec:\n  certificateRefs:\n  - kind: Secret\n    name: other\n  - name: web\n", 6},
		"of a namespace":           {"", "spec:\n  credentialName: kubernetes://shop/web\n", 2},
		"of an Ingress":            {"", "spec:\n  tls:\n  - hosts: [web]\n    secretName: web", 4},
		"JSON":                     {"", "{\n \"spec\": {\n  \"credentialName\": \"web\"}}", 3},
		"of a List":                {"items[1]", "items:\n- spec: {secretName: web}\n- spec:\n    credentialName: web\n", 4},
		"nowhere":                  {"", "metadata: {name: web}\nspec: {name: web}\n", 1},
	} {
		p := position{at: &lines{text: []byte(c.text), from: 1}, path: c.path, from: 1}
		for _, secret := range []string{"web", "web-cacert"} {
			if got := p.naming(secret).from; got != c.want {
				t.Errorf("%s: %s is named at line %d, want %d", name, secret, got, c.want)
			}
		}
	}
}

// TestAllOfARuleIsTold: each part of a rule that cannot be read is told, and not the first
// alone.
func TestAllOfARuleIsTold(t *testing.T) {
	got := placesOf(`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: two, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - from:
    - source: {ipBlocks: ["10.0.0.0/99"]}
    to:
    - operation: {ports: ["http"]}
    when:
    - key: source.ip
      values: ["nonsense"]
    - key: request.hedders[x]
      values: ["a"]
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}}
`, object.KindAuthorizationPolicy)
	if !slices.Equal(got, []int{8, 10, 12, 14}) {
		t.Errorf("told at %v, want lines 8, 10, 12 and 14", got)
	}
}

// TestTheFirstThatNamesASecretIsTold: of several the first of the objects, each time.
func TestTheFirstThatNamesASecretIsTold(t *testing.T) {
	var written strings.Builder
	for _, name := range []string{"d", "b", "a", "c"} {
		fmt.Fprintf(&written, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: shop}
spec: {selector: {istio: edge}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [%[1]s.example], tls: {mode: SIMPLE, credentialName: missing}}]}
---
`, name)
	}
	written.WriteString(`{apiVersion: v1, kind: Pod, metadata: {name: edge-1, namespace: shop, labels: {istio: edge}}, spec: {containers: [{name: istio-proxy, image: c}]}, status: {phase: Running, podIP: 10.0.0.1}}
`)
	for range 50 {
		if got := placesOf(written.String(), object.KindSecret); !slices.Equal(got, []int{4}) {
			t.Fatalf("the missing Secret is told at %v, want line 4", got)
		}
	}
}
