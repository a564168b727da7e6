package requests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
)

// policyOn is an AuthorizationPolicy of the servers.
func policyOn(spec string) string {
	return "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {selector: {matchLabels: {app: web}}, " + spec + "}\n"
}

const (
	refuseAll = "rules: []"
	headless  = `
---
apiVersion: v1
kind: Service
metadata: {name: head}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}, {name: tcp-x, port: 9000}]}
`
	routeTo = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: `
	external = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec: {hosts: [ext.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 1.2.3.4}]}
`
	edge = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw}
spec: {template: {metadata: {labels: {istio: gw}}, spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: gw}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: ["*"], gateways: [edge], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}
`
	custom = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: ext
      envoyExtAuthzGrpc: {service: web.default.svc.cluster.local, port: 80}
`
	jwt = `
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: j}
spec: {selector: {matchLabels: {app: web}}, jwtRules: [{issuer: a, jwks: '{"keys":[{"kty":"oct","k":"YQ","alg":"HS256"}]}', FROM}]}
`
)

func tokensFrom(fields string) string { return strings.Replace(jwt, "FROM", fields, 1) }

// TestDecided: policies allow or deny only where that is certain.
func TestDecided(t *testing.T) {
	office := policyOn(`action: DENY, rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}]`)
	forwarded := policyOn(`action: DENY, rules: [{when: [{key: "request.headers[x-forwarded-for]", values: ["*"]}]}]`)
	for name, c := range map[string]struct {
		objects, request string
		want             explain.Decision
		status           int
	}{
		"headless, HTTP":                    {headless + policyOn(refuseAll), "from: shop, url: 'http://head:8080/'", explain.Deny, 403},
		"headless, TCP":                     {headless + policyOn(refuseAll), "from: shop, url: 'tcp://head:9000'", explain.Deny, 0},
		"headless, nothing refused":         {headless + policyOn("rules: [{}]"), "from: shop, url: 'http://head:8080/'", explain.Allow, 0},
		"address of a pod, without TLS":     {"", "from: shop, url: 'http://240.0.0.2:8080/'", explain.Deny, 0},
		"address that nobody has":           {"", "from: shop, url: 'http://1.2.3.4/'", explain.Unknown, 0},
		"external host":                     {external, "from: shop, url: 'http://ext.example/'", explain.Unknown, 0},
		"caller without a proxy":            {"", "from: bare, url: 'http://web/'", explain.Deny, 0},
		"half of a route is external":       {external + policyOn(refuseAll) + routeTo + "[{destination: {host: web, port: {number: 80}}, weight: 50}, {destination: {host: ext.example, port: {number: 80}}, weight: 50}]}]}", "from: shop, url: 'http://web/'", explain.Unknown, 0},
		"half of a route is lost":           {routeTo + "[{destination: {host: web, port: {number: 80}}, weight: 50}, {destination: {host: web, port: {number: 80}, subset: typo}, weight: 50}]}]}", "from: shop, url: 'http://web/'", explain.Unknown, 0},
		"a route is lost":                   {routeTo + "[{destination: {host: nowhere}}]}]}", "from: shop, url: 'http://web/'", explain.Unknown, 503},
		"address of a pod that is not yet":  {policyOn(`action: DENY, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]`), "from: shop, url: 'http://web/'", explain.Unknown, 0},
		"client behind a gateway, refused":  {edge + office, "from: gateway/edge, source: 203.0.113.9, url: 'http://a.example:8080/'", explain.Deny, 403},
		"client behind a gateway, let in":   {edge + office, "from: gateway/edge, source: 203.0.114.9, url: 'http://a.example:8080/'", explain.Allow, 0},
		"client behind a gateway, unknown":  {edge + office, "from: gateway/edge, url: 'http://a.example:8080/'", explain.Unknown, 0},
		"header that the gateway writes":    {edge + forwarded, "from: gateway/edge, url: 'http://a.example:8080/'", explain.Unknown, 0},
		"header that is put together":       {routeTo + `[{destination: {host: web, port: {number: 80}}}], headers: {request: {set: {x-user: "%DOWNSTREAM_REMOTE_ADDRESS%"}}}}]}` + policyOn(`action: DENY, rules: [{when: [{key: "request.headers[x-user]", values: ["10.*"]}]}]`), "from: shop, url: 'http://web/'", explain.Unknown, 0},
		"CUSTOM, TCP":                       {custom + policyOn("action: CUSTOM, provider: {name: ext}, rules: [{}]"), "from: shop, url: 'tcp://web:5432'", explain.Unknown, 0},
		"CUSTOM, HTTP":                      {custom + policyOn("action: CUSTOM, provider: {name: ext}, rules: [{}]"), "from: shop, url: 'http://web/'", explain.Unknown, 0},
		"token in its own header":           {tokensFrom("fromHeaders: [{name: x-tok}]"), "from: shop, url: 'http://web/', headers: {x-tok: a}", explain.Unknown, 0},
		"token in a parameter":              {tokensFrom("fromParams: [tok]"), "from: shop, url: 'http://web/?tok=a'", explain.Unknown, 0},
		"token in a cookie":                 {tokensFrom("fromCookies: [tok]"), "from: shop, url: 'http://web/', headers: {cookie: 'a=b; tok=a'}", explain.Unknown, 0},
		"token in the parameter by default": {tokensFrom(""), "from: shop, url: 'http://web/?access_token=a'", explain.Unknown, 0},
		"no token where it is looked for":   {tokensFrom("fromHeaders: [{name: x-tok}]"), "from: shop, url: 'http://web/', headers: {authorization: Bearer a}", explain.Allow, 0},
	} {
		o := outcome(t, c.objects, "requests: [{"+c.request+", want: {policy: allow}}]")
		if got := o.Decided(); got.Decision != c.want || o.Status() != c.status {
			t.Errorf("%s: %d, %+v\n%+v", name, o.Status(), got, o)
		}
	}
}

// outcome asks for the one request of a file in the mesh of testdata without its own rules,
// with more objects.
func outcome(t *testing.T, objects, file string) *Outcome {
	t.Helper()
	base, err := os.ReadFile("testdata/plain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(name, []byte(string(base)+objects), 0o600); err != nil {
		t.Fatal(err)
	}
	mesh, err := operate.ReadMesh(t.Context(), nil, []string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	suites, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewMesh(mesh).Ask(t.Context(), suites[0], &suites[0].Requests[0])
	if err != nil {
		t.Fatal(err)
	}
	return &o
}

// TestManyServers: of more servers than are asked, what the others say is not known.
func TestManyServers(t *testing.T) {
	pods := &strings.Builder{}
	pod := func(i int) {
		pods.WriteString("\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: s-" + strconv.Itoa(i) + ", labels: {app: many, i: '" + strconv.Itoa(i) + "'}}\nspec: {containers: [{name: app}]}\n")
	}
	pods.WriteString("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: many}\nspec: {selector: {app: many}, ports: [{name: http, port: 80}]}\n")
	for i := range maxServers {
		pod(i)
	}
	const file = "requests: [{from: shop, url: 'http://many/', want: {policy: allow}}]"
	if got := outcome(t, pods.String(), file).Decided(); got.Decision != explain.Allow {
		t.Errorf("as many as are asked: %+v", got)
	}
	pod(maxServers)
	if got := outcome(t, pods.String(), file).Decided(); got.Decision != explain.Unknown {
		t.Errorf("one more: %+v", got)
	}
}
