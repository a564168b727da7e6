package attack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Tenant writes objects into one namespace.
type Tenant struct {
	// Namespace is the tenant's own.
	Namespace string
	// Directory is where files of objects are read by the control plane.
	Directory string
	// Victim is the namespace of others' services "web", with pods at addresses of
	// 10.32.0.0/16, and Host and Port are what their shared gateway serves.
	Victim, Host string
	Port         int
}

// Hostile is one kind of objects, as YAML.
type Hostile struct {
	Name string
	Of   func(Tenant, *rand.Rand) string
}

// age is that of hostile objects: younger than what they are up against.
const age = `creationTimestamp: "2025-01-01T00:00:00Z"`

func (t Tenant) object(api, kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s, %s}\nspec: %s\n", api, kind, name, t.Namespace, age, spec)
}

func (t Tenant) networking(kind, name, spec string) string {
	return t.object("networking.istio.io/v1", kind, name, spec)
}

func (t Tenant) virtualService(name, spec string) string {
	return t.networking("VirtualService", name, spec)
}

func (t Tenant) gateway(name, server string) string {
	return t.networking("Gateway", name, fmt.Sprintf("{selector: {istio: ingress}, servers: [%s]}", server))
}

// many is n parts, made by their numbers, between commas.
func many(n int, part func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = part(i)
	}
	return strings.Join(parts, ", ")
}

func numbered(text string) func(int) string {
	return func(i int) string { return fmt.Sprintf(text, i) }
}

// theft answers for everybody in the place of whom it is asked.
const theft = `http: [{directResponse: {status: 200, body: {string: stolen}}}]`

func documents(texts ...string) string { return strings.Join(texts, "---\n") }

func size(r *rand.Rand, most int) int { return 1 + r.IntN(most) }

// Tenants are the kinds of objects that a hostile tenant writes.
var Tenants = slices.Concat(products, lists)

// products are objects that multiply, or reach for what is another's.
var products = []Hostile{
	{"entry: hosts × addresses × ports", func(t Tenant, r *rand.Rand) string {
		hosts, addresses, ports := size(r, 250), size(r, 250), size(r, 200)
		return t.networking("ServiceEntry", "product", fmt.Sprintf("{hosts: [%s], addresses: [%s], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9}]}",
			many(hosts, numbered("h%d.evil.example")), many(addresses, numbered("240.0.1.%d")),
			many(ports, func(i int) string { return fmt.Sprintf("{number: %d, name: tcp-%d, protocol: TCP}", 2000+i, i) })))
	}},
	{"subsets × hosts × ports", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.networking("ServiceEntry", "covered", fmt.Sprintf("{hosts: [%s], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9}]}",
				many(size(r, 250), numbered("h%d.covered.example")), many(size(r, 8), func(i int) string { return fmt.Sprintf("{number: %d, name: tcp-%d, protocol: TCP}", 2000+i, i) }))),
			t.networking("DestinationRule", "covered", fmt.Sprintf("{host: '*.covered.example', subsets: [%s]}", many(size(r, 500), numbered("{name: v%[1]d, labels: {v: '%[1]d'}}")))))
	}},
	{"a large policy × clusters", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.networking("ServiceEntry", "alike", fmt.Sprintf("{hosts: [%s], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9}], subjectAltNames: [%s]}",
				many(size(r, 80), numbered("h%d.alike.example")), many(size(r, 50), func(i int) string { return fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 5000+i, i) }), many(size(r, 100), numbered("server-%d.alike.example")))),
			t.networking("DestinationRule", "alike", fmt.Sprintf("{host: '*.alike.example', trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [%s]}}}", many(size(r, 20_000), numbered("server-%d.alike.example")))))
	}},
	{"long words × clusters", func(t Tenant, r *rand.Rand) string {
		word := strings.Repeat("x", size(r, 60_000))
		return documents(
			t.networking("ServiceEntry", "words", fmt.Sprintf("{hosts: [words.evil.example], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9, labels: {app: %[2]s, version: %[2]s}, locality: %[2]s, network: %[2]s}]}",
				many(size(r, 50), func(i int) string { return fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 6000+i, i) }), word[:size(r, len(word))])),
			t.networking("DestinationRule", "words", fmt.Sprintf("{host: words.evil.example, subsets: [{name: %s, labels: {app: x}}]}", word)))
	}},
	{"slices of nodes that are not there", func(t Tenant, r *rand.Rand) string {
		return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: nodes, namespace: %s, labels: {kubernetes.io/service-name: nodes}, %s}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [%s]\n",
			t.Namespace, age, many(size(r, 1000), func(i int) string {
				return fmt.Sprintf("{addresses: [10.41.%d.%d], nodeName: n%d-%d, zone: z%d}", i/250, i%250, i, r.IntN(1000), r.IntN(9))
			}))
	}},
	{"rules × hosts × ports", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.networking("ServiceEntry", "below", fmt.Sprintf("{hosts: [%s], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9}]}",
				many(size(r, 250), numbered("h%d.below.example")), many(size(r, 8), func(i int) string { return fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 2000+i, i) }))),
			t.virtualService("below", fmt.Sprintf("{hosts: ['*.below.example', x.evil.example], http: [%s]}", many(size(r, 2000), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}")))))
	}},
	{"root × delegate", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.virtualService("root", fmt.Sprintf("{hosts: [x.evil.example], http: [%s]}", many(size(r, 1000), numbered("{match: [{headers: {a: {exact: '%d'}}}], delegate: {name: leaf}}")))),
			t.virtualService("leaf", fmt.Sprintf("{http: [%s]}", many(size(r, 1000), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}")))))
	}},
	{"roots × one leaf", func(t Tenant, r *rand.Rand) string {
		roots := make([]string, size(r, 100))
		for i := range roots {
			roots[i] = t.virtualService(fmt.Sprintf("root-%d", i), fmt.Sprintf("{hosts: [r%d.evil.example], http: [{match: [{headers: {a: {exact: '%[1]d'}}}], delegate: {name: large}}]}", i))
		}
		return documents(append(roots, t.virtualService("large", fmt.Sprintf("{http: [%s]}", many(size(r, 5000), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}")))))...)
	}},
	{"roots of many namespaces × one leaf", func(t Tenant, r *rand.Rand) string {
		var roots []string
		for i := range size(r, 20) {
			other := t
			other.Namespace = fmt.Sprintf("%s-%d", t.Namespace, i)
			roots = append(roots, other.virtualService("root", fmt.Sprintf("{hosts: [n%d.evil.example], http: [{delegate: {name: shared, namespace: %s}}]}", i, t.Namespace)))
		}
		return documents(append(roots, t.virtualService("shared", fmt.Sprintf("{http: [%s]}", many(size(r, 5000), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}")))))...)
	}},
	{"servers × rules", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.gateway("servers", many(size(r, 900), func(i int) string {
				return fmt.Sprintf("{port: {number: %d, name: http-%[1]d, protocol: HTTP}, hosts: ['*.servers.evil.example']}", 20_000+i)
			})),
			t.virtualService("servers", fmt.Sprintf("{hosts: [%s], gateways: [servers], http: [%s]}", many(size(r, 10), numbered("h%d.servers.evil.example")),
				many(size(r, 2000), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}")))))
	}},
	{"tags × ports", func(t Tenant, r *rand.Rand) string {
		return documents(
			t.object("telemetry.istio.io/v1", "Telemetry", "tags", fmt.Sprintf("{metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: ALL_METRICS}, tagOverrides: {%s}}]}]}",
				many(size(r, 200), numbered("tag_%d: {value: \"request.headers['x-%[1]d']\"}")))),
			t.networking("ServiceEntry", "tagged", fmt.Sprintf("{hosts: [%s], addresses: [240.0.2.1], ports: [%s], resolution: STATIC, endpoints: [{address: 10.9.9.9}]}",
				many(size(r, 20), numbered("h%d.tagged.example")), many(size(r, 80), func(i int) string { return fmt.Sprintf("{number: %d, name: tcp-%d, protocol: TCP}", 3000+i, i) }))))
	}},
	{"hosts × rules", func(t Tenant, r *rand.Rand) string {
		return t.virtualService("square", fmt.Sprintf("{hosts: [%s], http: [%s]}", many(size(r, 800), numbered("h%d.square.example")),
			many(size(r, 300), numbered("{match: [{uri: {prefix: /%d}}], directResponse: {status: 200}}"))))
	}},
	{"many hosts", func(t Tenant, r *rand.Rand) string {
		return t.virtualService("many", fmt.Sprintf("{hosts: [%s], %s}", many(size(r, 30_000), numbered("h%d.many.example")), theft))
	}},
	{"takes a shared port", func(t Tenant, r *rand.Rand) string {
		bind := []string{"", "bind: 0.0.0.0, ", "bind: 10.31.0.1, ", `bind: "::", `, `bind: "::ffff:0.0.0.0", `}[r.IntN(5)]
		protocol := []string{"HTTP", "HTTP2", "TCP", "GRPC", "HTTPS"}[r.IntN(5)]
		tls := ""
		if protocol == "HTTPS" {
			tls = ", tls: {mode: SIMPLE, credentialName: none}"
		}
		return documents(t.gateway("steal", fmt.Sprintf("{%sport: {number: %d, name: http, protocol: %s}, hosts: ['%s']%s}", bind, t.Port, protocol, []string{"*", t.Host, "*.example"}[r.IntN(3)], tls)),
			t.virtualService("steal", fmt.Sprintf("{hosts: ['%s'], gateways: [steal], %s}", t.Host, theft)))
	}},
	{"redirects a shared host", func(t Tenant, _ *rand.Rand) string {
		return t.gateway("redirect", fmt.Sprintf("{port: {number: %d, name: http, protocol: HTTP}, hosts: ['%s', '*'], tls: {httpsRedirect: true}}", t.Port, t.Host))
	}},
	{"routes of a shared host", func(t Tenant, r *rand.Rand) string {
		return t.virtualService("append", fmt.Sprintf("{hosts: ['%s'], gateways: [istio-system/front%s], %s}", t.Host, []string{"", ", mesh"}[r.IntN(2)], theft))
	}},
	{"names that Envoy refuses", func(t Tenant, _ *rand.Rand) string {
		return t.gateway("names", fmt.Sprintf("{port: {number: %d, name: http, protocol: HTTP}, hosts: ['.shop.example', '*.*.example', 'a b', '']}, {port: {number: %d, name: https, protocol: HTTPS}, hosts: ['.shop.example', '*.shop.example'], "+
			"tls: {mode: MUTUAL, serverCertificate: /no, privateKey: /no, caCertificates: /no}}", t.Port, t.Port+1))
	}},
	{"leads to loopback", func(t Tenant, r *rand.Rand) string {
		address := []string{"127.0.0.1", "0.0.0.0", "'::1'", "'::ffff:127.0.0.1'", "169.254.169.254", "10.31.0.1", "unix:///tmp/x", "unix://@fairway-admin"}[r.IntN(8)]
		return documents(t.networking("ServiceEntry", "loop", fmt.Sprintf("{hosts: [loop.evil.example, '%s'], resolution: %s, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 15000}], endpoints: [{address: %s}]}",
			t.Host, []string{"STATIC", "DNS"}[r.IntN(2)], address)),
			t.virtualService("loop", "{hosts: [loop.example], gateways: [istio-system/front], http: [{route: [{destination: {host: loop.evil.example}}]}]}"))
	}},
	{"takes everything of sidecars", func(t Tenant, r *rand.Rand) string {
		return t.virtualService("all", fmt.Sprintf("{hosts: ['%s'], %s}", []string{"*", "*.svc.cluster.local", "*.local", "web." + t.Victim}[r.IntN(4)], theft))
	}},
	{"shadows a service", func(t Tenant, r *rand.Rand) string {
		host := "web." + t.Victim
		return t.networking("ServiceEntry", "shadow", fmt.Sprintf("{hosts: [%s], addresses: [10.96.0.%d], resolution: STATIC, ports: [{number: 80, name: %s, protocol: %s}], endpoints: [{address: 10.9.9.9}]}",
			[]string{host, host + ".svc", host + ".svc.cluster.local"}[r.IntN(3)], 1+r.IntN(4), []string{"http", "tcp"}[r.IntN(2)], []string{"HTTP", "TCP"}[r.IntN(2)]))
	}},
	{"relabels others' pods", func(t Tenant, r *rand.Rand) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: heads, namespace: %s, %s}\nspec: {clusterIP: None, ports: [{port: 80, name: http}]}\n---\n", t.Namespace, age) +
			fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: heads, namespace: %s, labels: {kubernetes.io/service-name: heads}, %s}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [%s]\n---\n",
				t.Namespace, age, many(size(r, 200), numbered("{addresses: [10.32.0.%d]}"))) +
			t.networking("DestinationRule", "heads", "{host: heads, trafficPolicy: {tls: {mode: SIMPLE}}}")
	}},
	{"headless Service of many pods", func(t Tenant, r *rand.Rand) string {
		ports := size(r, 40)
		objects := []string{fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: crowd, namespace: %s, %s}\nspec: {clusterIP: None, ports: [%s]}\n", t.Namespace, age,
			many(ports, func(i int) string { return fmt.Sprintf("{port: %d, name: tcp-%d}", 4000+i, i) }))}
		for n := range size(r, 10) {
			objects = append(objects, fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: crowd-%d, namespace: %s, labels: {kubernetes.io/service-name: crowd}, %s}\naddressType: IPv4\nports: [%s]\nendpoints: [%s]\n",
				n, t.Namespace, age, many(ports, func(i int) string { return fmt.Sprintf("{name: tcp-%d, port: %d}", i, 4000+i) }), many(size(r, 200), func(i int) string { return fmt.Sprintf("{addresses: [10.40.%d.%d]}", n, i) })))
		}
		return documents(objects...)
	}},
	{"rules for others' services", func(t Tenant, r *rand.Rand) string {
		return t.networking("DestinationRule", "foreign", fmt.Sprintf("{host: web.%s.svc.cluster.local, exportTo: ['*'], trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {http: {http1MaxPendingRequests: %d}}}}", t.Victim, size(r, 9)))
	}},
	{"names many Secrets", func(t Tenant, r *rand.Rand) string {
		return t.gateway("secrets", many(size(r, 2050), func(i int) string {
			return fmt.Sprintf("{port: {number: 8443, name: https-%d, protocol: HTTPS}, hosts: [s%d.evil.example], tls: {mode: SIMPLE, credentialName: a%d}}", i, i, i)
		}))
	}},
	{"policies", func(t Tenant, r *rand.Rand) string {
		return documents(t.object("security.istio.io/v1", "AuthorizationPolicy", "deny", fmt.Sprintf("{%s: {istio: ingress}}, action: DENY, rules: [%s]}", "selector: {matchLabels",
			many(size(r, 2000), numbered("{to: [{operation: {paths: ['/%d*']}}]}")))),
			t.object("security.istio.io/v1", "AuthorizationPolicy", "attached", "{targetRefs: [{group: networking.istio.io, kind: Gateway, name: front}], action: DENY, rules: [{}]}"),
			t.object("security.istio.io/v1", "RequestAuthentication", "jwt", fmt.Sprintf("{jwtRules: [%s]}", many(size(r, 250), numbered("{issuer: i%d, jwksUri: 'http://127.0.0.1:15000/%[1]d'}")))),
			t.object("security.istio.io/v1", "PeerAuthentication", "strict", "{mtls: {mode: STRICT}}"))
	}},
	{"regular expressions", func(t Tenant, r *rand.Rand) string {
		return t.virtualService("regex", fmt.Sprintf("{hosts: [re.evil.example], http: [%s]}", many(size(r, 200), func(int) string {
			return "{match: [{uri: {regex: '((((a{1,10}){1,10}){1,10}))'}}], directResponse: {status: 200}}"
		})))
	}},
	{"no YAML", func(t Tenant, r *rand.Rand) string {
		return []string{strings.Repeat("[", size(r, 100_000)), "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b, *b]\n", "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: x, namespace: " + t.Namespace + "}, spec: {hosts: [x], http: {}}}",
			strings.Repeat("---\n", size(r, 10_000)), "\x00\xff\xfe"}[r.IntN(5)]
	}},
}

// Write puts hostile objects of a kind in the place of those that the tenant had in a slot.
func (t Tenant) Write(h Hostile, slot int, r *rand.Rand) error {
	return t.put(slot, h.Of(t, r))
}

func (t Tenant) file(slot int) string {
	return filepath.Join(t.Directory, fmt.Sprintf("%s-%d.yaml", t.Namespace, slot))
}

func (t Tenant) put(slot int, text string) error {
	part := t.file(slot) + ".part"
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing hostile objects: %w", err)
	}
	return os.Rename(part, t.file(slot))
}

// Flip has routes lead nowhere, by turns to one missing subset and another, for a while.
func (t Tenant) Flip(ctx context.Context, slot int, every time.Duration) error {
	for i := 0; ctx.Err() == nil; i++ {
		text := t.virtualService("flip", fmt.Sprintf("{hosts: [web.%s.svc.cluster.local, flip.evil.example], http: [{route: [{destination: {host: web.%s.svc.cluster.local, subset: none-%d}}]}]}", t.Namespace, t.Victim, i))
		if err := t.put(slot, text); err != nil {
			return err
		}
		pause(ctx, every)
	}
	return nil
}

// Leave removes all that the tenant wrote.
func (t Tenant) Leave(slots int) {
	for i := range slots {
		os.Remove(t.file(i))
	}
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
