package check

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/random"
)

// told are the findings of a text, each as "severity code line field".
func told(t *testing.T, text_ string) []string {
	t.Helper()
	var out []string
	for _, e := range readManifests([]text{{"a.yaml", []byte(text_)}}).findings(nil).Entries {
		out = append(out, fmt.Sprintf("%s %s %d %s", e.Severity, e.Code, e.Line, e.Field))
	}
	return out
}

const service = `apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
`

// written begins a document of networking.istio.io, whose spec follows.
func written(kind, name string) string {
	return "apiVersion: networking.istio.io/v1\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: shop}\nspec: "
}

const pod = `apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec: {containers: [{name: istio-proxy, image: x}]}
---
`

// TestWhatIsFound tells of each kind of fault what comes out, and for a text without the
// fault that it does not.
func TestWhatIsFound(t *testing.T) {
	gateway := func(name, server string) string {
		return written("Gateway", name) + "{selector: {app: front}, servers: [" + server + "]}\n---\n"
	}
	const http = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}"
	https := func(host string) string {
		return "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [" + host + "], tls: {mode: SIMPLE, credentialName: cert}}"
	}
	of := func(protocol string) string { return strings.ReplaceAll(service, "name: http", "name: "+protocol) }
	config := func(text string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    " + text + "\n"
	}
	for _, c := range []struct{ what, text, want string }{
		{"two protocols on a port of a gateway", pod + gateway("a", "{port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}") + gateway("b", "{port: {number: 9000, name: http, protocol: HTTP}, hosts: ['*']}"), "warning Conflict 14 spec.servers[0]"},
		{"two protocols on different ports", pod + gateway("a", "{port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}") + gateway("b", "{port: {number: 9001, name: http, protocol: HTTP}, hosts: ['*']}"), ""},
		{"a host that its Gateway lacks", gateway("g", http) + written("VirtualService", "v") + "{hosts: [sohp.example.com], gateways: [g], http: [{directResponse: {status: 200}}]}", "warning HostNotInGateway 9 spec.hosts[0]"},
		{"a host that its Gateway has", gateway("g", http) + written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g], http: [{directResponse: {status: 200}}]}", ""},
		{"a host for sidecars beside one of a Gateway", gateway("g", http) + written("VirtualService", "v") + "{hosts: [cart, shop.example.com], gateways: [mesh, g], http: [{directResponse: {status: 200}}]}", ""},
		{"a Gateway that has none of the hosts", gateway("g", http) + gateway("h", strings.Replace(http, "shop.", "other.", 1)) + written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g, h], http: [{directResponse: {status: 200}}]}", "warning HostNotInGateway 14 spec.gateways"},
		{"one certificate in two Gateways", pod + secretText() + gateway("a", https("a.example.com")) + gateway("b", https("b.example.com")), "warning CertificateShared 20 spec.servers[0].tls.credentialName"},
		{"one certificate in one Gateway", pod + secretText() + gateway("a", https("a.example.com")+", "+https("b.example.com")), ""},
		{"a claim on sidecars", service + written("VirtualService", "v") + "{hosts: [cart], http: [{match: [{headers: {'@request.auth.claims.group': {exact: a}}}], route: [{destination: {host: cart}}]}]}", "warning ClaimNotKnown 9 spec.http[0].match[0].headers"},
		{"a claim at a gateway that reads no tokens", gateway("g", http) + written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.group': {exact: a}}}], directResponse: {status: 200}}]}", "warning ClaimNotKnown 9 spec.http[0].match[0].headers"},
		{"a claim at a gateway that reads tokens", pod + gateway("g", http) + "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: shop}\nspec: {selector: {matchLabels: {app: front}}, jwtRules: [{issuer: a, jwksUri: https://a.example/keys}]}\n---\n" +
			written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.group': {exact: a}}}], directResponse: {status: 200}}]}", ""},
		{"a tcp rule where requests are taken", service + written("VirtualService", "v") + "{hosts: [cart], tcp: [{route: [{destination: {host: cart}}]}]}", "warning PortNotFound 9 spec.tcp[0]"},
		{"a second tcp rule", of("tcp") + written("VirtualService", "v") + "{hosts: [cart], tcp: [{match: [{port: 80}], route: [{destination: {host: cart}}]}, {match: [{port: 80, sourceLabels: {a: b}}], route: [{destination: {host: cart}}]}]}", "warning Shadowed 9 spec.tcp[1].match[0]"},
		{"a tcp rule for another port", of("tcp") + written("VirtualService", "v") + "{hosts: [cart], tcp: [{match: [{port: 80}], route: [{destination: {host: cart}}]}, {match: [{port: 81}], route: [{destination: {host: cart}}]}]}", ""},
		{"a second tls rule", of("tls") + written("VirtualService", "v") + "{hosts: [cart], tls: [{match: [{sniHosts: ['*.a.example']}], route: [{destination: {host: cart}}]}, {match: [{sniHosts: [x.a.example]}], route: [{destination: {host: cart}}]}]}", "warning Shadowed 9 spec.tls[1].match[0]"},
		{"a tls rule for another name", of("tls") + written("VirtualService", "v") + "{hosts: [cart], tls: [{match: [{sniHosts: ['*.a.example']}], route: [{destination: {host: cart}}]}, {match: [{sniHosts: [a.example]}], route: [{destination: {host: cart}}]}]}", ""},
		{"a subset without pods", service + strings.ReplaceAll(pod, "front", "cart") + written("DestinationRule", "d") + "{host: cart, subsets: [{name: v9, labels: {version: v9}}]}", "warning SubsetNotFound 14 spec.subsets[v9].labels"},
		{"a subset of which pods are not known", service + written("DestinationRule", "d") + "{host: cart, subsets: [{name: v9, labels: {version: v9}}]}", ""},
		{"a subset that the rule beside it lacks", written("DestinationRule", "d") + "{host: cart, subsets: [{name: v1}]}\n---\n" + written("VirtualService", "v") + "{hosts: [cart], http: [{route: [{destination: {host: cart, subset: v2}}]}]}", "note NotLookedUp 0 \nwarning SubsetNotFound 9 spec.http[0].route[0].destination.subset"},
		{"part of a mesh", written("ServiceEntry", "e") + "{hosts: [www.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}\n---\n" + written("DestinationRule", "d") + "{host: cart}\n---\n" + written("DestinationRule", "e") + "{host: stock}", "note NotLookedUp 0 "},
		{"a name that the namespace lacks", service + written("DestinationRule", "d") + "{host: crat}", "warning HostNotFound 9 spec.host"},
		{"a Gateway of the other API", "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop}\nspec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}\n---\n" +
			written("VirtualService", "v") + "{hosts: [a.example.com], gateways: [front], http: [{directResponse: {status: 200}}]}", "warning Unreferenced 9 spec.gateways[0]"},
		{"a Deployment's labels, user and annotations", deployment("bootstrapOverride: x", "runAsUser: 1337") + written("Sidecar", "s") + "{workloadSelector: {labels: {app: crat}}, egress: [{hosts: ['./*']}]}",
			"warning Injection 7 spec.template.metadata.annotations[sidecar.istio.io/bootstrapOverride]\nerror Injection 8 spec.template.spec.securityContext.runAsUser\nwarning Unreferenced 13 spec.workloadSelector"},
		{"a Deployment that is well", deployment("logLevel: debug", "runAsUser: 1000") + written("Sidecar", "s") + "{workloadSelector: {labels: {app: cart}}, egress: [{hosts: ['./*']}]}", ""},
		{"a Deployment of a revision", strings.Replace(deployment("logLevel: debug", "runAsUser: 1000"), "app: cart}, annot", "app: cart, istio.io/rev: canary}, annot", 1), "warning Unsupported 7 spec.template.metadata.labels[istio.io/rev]"},
		{"an ambient Namespace", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    istio.io/dataplane-mode: ambient\n", "warning Unsupported 6 metadata.labels[istio.io/dataplane-mode]"},
		{"a kind written wrong", strings.Replace(written("VirtualService", "v"), "Service", "Servce", 1) + "{}", "error UnknownKind 2 kind"},
		{"a version that there is not", strings.Replace(written("VirtualService", "v"), "/v1", "/v2", 1) + "{}", "error UnknownKind 1 apiVersion"},
		{"a group written wrong", strings.Replace(written("VirtualService", "v"), "networking.istio", "netwroking.istio", 1) + "{}", "error UnknownKind 2 kind"},
		{"a core kind written wrong", "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: a}", "error UnknownKind 2 kind"},
		{"a kind of others", "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a}", "note ForeignKind 1 "},
		{"a kind of Istio that is not served", strings.Replace(written("EnvoyFilter", "v"), "v1", "v1alpha3", 1) + "{}", "warning Unsupported 2 kind"},
		{"a field that there is not", written("VirtualService", "v") + "\n  hosts: [a.example.com]\n  http:\n  - timeut: 3s\n    directResponse: {status: 200}", "error UnknownField 7 spec.http[0].timeut"},
		{"an object twice", service + service, "warning Duplicate 8 metadata.name"},
		{"a configuration that cannot be read", config("outboundTrafficPolicy: {mode: REGISTRY}"), "error Invalid 6 data.mesh.outboundTrafficPolicy.mode"},
		{"a trust domain that is none", config("trustDomain: a/b"), "error Invalid 6 data.mesh.trustDomain"},
		{"a provider with its port in the host", config("extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: 'a.b:9000', port: 9000}}]"), "error Invalid 6 data.mesh.extensionProviders[0].envoyExtAuthzGrpc.service"},
		{"a timeout of less than nothing", config("connectTimeout: -1s"), "error Invalid 6 data.mesh.connectTimeout"},
		{"a number of threads below nothing", config("defaultConfig: {concurrency: -1}"), "error Invalid 6 data.mesh.defaultConfig.concurrency"},
		{"a provider that lacks where it is, and one of its name", config("extensionProviders: [{name: a, zipkin: {port: 1}}, {name: A, opentelemetry: {service: a.b, port: 1}}]"),
			"error Invalid 6 data.mesh.extensionProviders[0].zipkin.service\nerror Invalid 6 data.mesh.extensionProviders[1].name"},
		{"a match for a gateway that the rules are not bound to", gateway("g", http) + written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g], http: [{match: [{gateways: [h]}], directResponse: {status: 200}}]}", "warning Unreferenced 9 spec.http[0].match[0].gateways[0]"},
		{"a match for a gateway by its full name", gateway("g", http) + written("VirtualService", "v") + "{hosts: [shop.example.com], gateways: [g], http: [{match: [{gateways: [shop/g]}], directResponse: {status: 200}}]}", ""},
		{"destinations that are no hosts", service + written("VirtualService", "v") + "{hosts: [cart], http: [{mirror: {host: 'http://cart'}, route: [{destination: {host: 'cart:80'}}]}]}", "error Invalid 9 spec.http[0].mirror\nerror Invalid 9 spec.http[0].route[0].destination.host"},
		{"two policies of a load balancer", service + written("DestinationRule", "d") + "{host: cart, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}}", "error Invalid 9 spec.trafficPolicy.loadBalancer.simple"},
		{"two ways to compare a text", written("VirtualService", "v") + "{hosts: [a.example], http: [{match: [{uri: {exact: /a, prefix: /b}}], directResponse: {status: 200}}]}", "error Invalid 4 spec.http[0].match[0].uri.prefix"},
		{"a field twice", written("DestinationRule", "d") + "\n  host: a.example\n  host: b.example", "note NotLookedUp 0 \nerror UnknownField 5 spec.host"},
		{"an endpoint that nobody resolves", written("ServiceEntry", "e") + "\n  hosts: [a.example]\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  resolution: STATIC\n  endpoints:\n  - address: 10.0.0.1\n  - address: b.example", "error Invalid 10 spec.endpoints[1].address"},
		{"an entry without endpoints", written("ServiceEntry", "e") + "{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC}", "warning Unreferenced 4 spec.resolution"},
		{"a policy for what no request has", policy("{from: [{source: {principals: ['spiffe://cluster.local/ns/shop/sa/a']}}], to: [{operation: {paths: [admin], methods: [get], hosts: ['http://a.example']}}]}"),
			"warning Unreferenced 4 spec.rules[0].from[0].source.principals\nwarning Unreferenced 4 spec.rules[0].to[0].operation.hosts\nwarning Unreferenced 4 spec.rules[0].to[0].operation.methods\nwarning Unreferenced 4 spec.rules[0].to[0].operation.paths"},
		{"a policy for what requests have", policy("{from: [{source: {principals: ['cluster.local/ns/shop/sa/a', '*/sa/b']}}], to: [{operation: {paths: ['*.html', '/a*', '*'], methods: [GET, 'PO*', purge], hosts: ['*.example', 'a.example:*']}}]}"), ""},
		{"a policy for the port of the Service", strings.Replace(service, "port: 80", "port: 80, targetPort: 8080", 1) + strings.ReplaceAll(pod, "front", "cart") + policy("{to: [{operation: {ports: ['80', '8080', '9090']}}]}"), "warning PortNotFound 14 spec.rules[0].to[0].operation.ports"},
		{"a mode for the port of the Service", strings.Replace(service, "port: 80", "port: 80, targetPort: 8080", 1) + strings.ReplaceAll(pod, "front", "cart") +
			policyOf("PeerAuthentication", "{selector: {matchLabels: {app: cart}}, portLevelMtls: {80: {mode: STRICT}}}"), "warning PortNotFound 14 spec.portLevelMtls[80]"},
		{"a policy for tokens that nobody reads", service + strings.ReplaceAll(pod, "front", "cart") + policy("{from: [{source: {requestPrincipals: ['*']}}]}"), "warning ClaimNotKnown 14 spec.rules[0].from[0].source.requestPrincipals"},
		{"a policy for tokens of which the readers are not given", policy("{when: [{key: request.auth.audiences, values: [a]}]}"), "note NotLookedUp 0 "},
		{"a policy for tokens", service + strings.ReplaceAll(pod, "front", "cart") + policyOf("RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: https://a.example/keys}]}") + "\n---\n" + policy("{from: [{source: {requestPrincipals: ['*']}}]}"), ""},
		{"hosts that a Sidecar shows", service + written("Sidecar", "s") + "\n  egress:\n  - hosts:\n    - ./cart\n    - shop/crat.shop.svc.cluster.local\n    - shop/cart.shop.svc.cluster.local\n    - '*/*'", "warning HostNotFound 12 spec.egress[0].hosts[0]\nwarning HostNotFound 13 spec.egress[0].hosts[1]"},
		{"an Ingress of a class that there is not", service + ingress("ingressClassName: istio, "), "note NotLookedUp 0 "},
		{"an Ingress of another class", service + ingress("ingressClassName: nginx, "), ""},
		{"an injection label that says nothing", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    istio-injection: enable", "warning Unsupported 6 metadata.labels[istio-injection]"},
		{"an annotation at the Deployment", strings.Replace(deployment("logLevel: debug", "runAsUser: 1000"), "name: cart,", "name: cart, annotations: {sidecar.istio.io/inject: 'true', a.example/b: c},", 1), "warning Injection 3 metadata.annotations[sidecar.istio.io/inject]"},
		{"a misspelt annotation beside one that cannot be read", deployment("proxyCpu: 10m, traffic.sidecar.istio.io/excludeOutboundPorts: x", "runAsUser: 1000"),
			"error Injection 7 spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]\nwarning Injection 7 spec.template.metadata.annotations[sidecar.istio.io/proxyCpu]"},
		{"the pods of another gateway", strings.ReplaceAll(pod, "app: front", "istio: ingressgateway") + strings.ReplaceAll(gateway("g", http), "app: front", "istio: ingresgateway"), "warning Unreferenced 9 spec.selector"},
		{"a configuration that is well", config("trustDomain: a.b"), ""},
		{"several documents that are no YAML", "a: b: c\n---\n" + service + "\n\n: :\n", "error Unreadable 1 \nerror Unreadable 9 "},
	} {
		if got := strings.Join(told(t, c.text), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.want)
		}
	}
}

// secretText is a Secret with a certificate.
func secretText() string {
	cert, key := random.Certificate()
	text := base64.StdEncoding.EncodeToString
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: shop}\ntype: kubernetes.io/tls\ndata: {tls.crt: " + text(cert) + ", tls.key: " + text(key) + "}\n---\n"
}

// policyOf is an object of security.istio.io.
func policyOf(kind, spec string) string {
	return strings.Replace(written(kind, "p"), "networking", "security", 1) + spec
}

// policy is an AuthorizationPolicy for the pods of cart, with one rule.
func policy(rule string) string {
	return policyOf("AuthorizationPolicy", "{selector: {matchLabels: {app: cart}}, action: DENY, rules: ["+rule+"]}")
}

func ingress(class string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: shop}\nspec: {" + class + "rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}]}}]}"
}

func deployment(annotation, security string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}, annotations: {sidecar.istio.io/` + annotation + `}}
    spec: {securityContext: {` + security + `}, containers: [{name: c, image: x}]}
---
`
}

// TestExitStatus tells when the command fails.
func TestExitStatus(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"clean.yaml": service, "warned.yaml": service + written("DestinationRule", "d") + "{host: crat}",
		"noted.yaml": written("DestinationRule", "d") + "{host: crat}", "wrong.yaml": written("DestinationRule", "d") + "{hots: crat}",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		err  error
	}{
		{"clean.yaml --strict", nil}, {"noted.yaml --strict", nil}, {"warned.yaml", nil}, {"warned.yaml --strict", errInvalid}, {"wrong.yaml", errInvalid}, {"wrong.yaml -o sarif", errInvalid},
	} {
		if _, err := run("-f " + filepath.Join(folder, c.args)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.args, err, c.err)
		}
	}
	if _, err := run("-f " + folder + " -o xml"); err == nil {
		t.Error("an unknown format is taken")
	}
}

// run is the command with arguments.
func run(args string) (string, error) {
	cmd := NewCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(strings.Fields(args))
	err := cmd.Execute()
	return out.String(), err
}

// TestFormats holds what programs read to be the same findings in every form.
func TestFormats(t *testing.T) {
	const file = "testdata/routes.yaml"
	text, _ := run("-f " + file)
	lines := strings.Count(text, "\n") - 1
	out, _ := run("-f " + file + " -o json")
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Findings) != lines || r.Errors != 4 || r.Objects != 6 {
		t.Errorf("json: %v: %s", err, out)
	}
	for _, f := range r.Findings {
		if f.Code == "" || f.Severity == "" || f.Object.Kind == "" || f.Code != object.CodeNotLookedUp && (f.File != file || f.Line == 0 || f.Object.Name == "") {
			t.Errorf("json: %+v", f)
		}
	}
	out, _ = run("-f " + file + " -o github")
	if strings.Count(out, "\n") != lines || !strings.Contains(out, "::error file=testdata/routes.yaml,line=10,title=Invalid::DestinationRule default/reviews") || !strings.Contains(out, "::notice title=NotLookedUp::") {
		t.Errorf("github: %s", out)
	}
	out, _ = run("-f " + file + " -o sarif")
	all, err := sarif.FromString(out)
	if err != nil || len(all.Runs) != 1 || len(all.Runs[0].Results) != lines {
		t.Fatalf("sarif: %v: %s", err, out)
	}
	if err := all.Validate(); err != nil {
		t.Errorf("sarif: %v", err)
	}
	last := all.Runs[0].Results[lines-1]
	if at := last.Locations[0].PhysicalLocation; *at.ArtifactLocation.URI != file || *at.Region.StartLine != r.Findings[lines-1].Line || *last.RuleID != string(r.Findings[lines-1].Code) {
		t.Errorf("sarif: %+v", last)
	}
}

// TestGitHubEscapes keeps a message within its line, and a name within its property.
func TestGitHubEscapes(t *testing.T) {
	var out bytes.Buffer
	e := Entry{Finding: object.Finding{Object: object.Ref{Kind: "Service", Name: "a"}, Code: "Invalid", Message: "100%\nof"}, Severity: object.SeverityError, File: "a,b:c.yaml", Line: 3}
	if err := writeGitHub(&out, &Findings{Entries: []Entry{e}}); err != nil || out.String() != "::error file=a%2Cb%3Ac.yaml,line=3,title=Invalid::Service a: 100%25%0Aof\n" {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestReference holds docs/findings.md to list every code; -update writes it.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Findings\n\nWhat `fairway check`, the validating webhook and the control plane (log, `/debug/findings`, conditions of objects) say of objects has a code,\n" +
		"so that CI can allow or deny by it: `fairway check -o json` gives `code` and `severity` of each. A code keeps its meaning.\n\n" +
		"An *error* is wrong by what its object says alone, whatever else there is and in whatever order objects are applied: exit status 1. A *warning* can be mended\n" +
		"by other objects too, or is understood and not acted upon: exit status 1 with `--strict`. A *note* only tells. This table is made by `go test ./internal/check -run Reference -update`.\n\n" +
		"| code | at worst | what is wrong | what to do |\n|---|---|---|---|\n")
	var codes []object.Code
	for _, c := range object.Codes() {
		codes = append(codes, c.Code)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Code, c.Severity, c.Meaning, c.Remedy)
	}
	const file = "../../docs/findings.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the codes say (%v): run with -update", file, err)
	}
	declared, err := os.ReadFile("../../mesh/object/code.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(declared)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " Code = \""); ok || strings.Contains(line, "Code = ") {
			if code := object.Code(strings.TrimSuffix(value, "\"")); !slices.Contains(codes, code) {
				t.Errorf("%s is in no row of object.Codes", strings.TrimSpace(name))
			}
		}
	}
}
