package attack

import (
	"fmt"
	"math/rand/v2"
)

// lists are objects that are long, or many, and that other objects look through.
var lists = []Hostile{
	{"slice: addresses × ports", func(t Tenant, r *rand.Rand) string {
		ports := size(r, 100)
		return documents(
			fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: wide, namespace: %s, %s}\nspec: {clusterIP: 10.96.200.1, ports: [%s]}\n", t.Namespace, age,
				many(ports, func(i int) string { return fmt.Sprintf("{port: %d, name: http-%d}", 7000+i, i) })),
			fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: wide, namespace: %s, labels: {kubernetes.io/service-name: wide}, %s}\naddressType: IPv4\nports: [%s]\nendpoints: [%s]\n",
				t.Namespace, age, many(ports, func(i int) string { return fmt.Sprintf("{name: http-%d, port: %d}", i, 7000+i) }),
				many(size(r, 100), func(i int) string { return fmt.Sprintf("{addresses: [10.41.%d.%d]}", i/250, i%250) })))
	}},
	{"Sidecars × hosts", func(t Tenant, r *rand.Rand) string {
		sidecars, hosts := make([]string, size(r, 20)), many(size(r, 5000), numbered("'*/*.h%d.example'"))
		for i := range sidecars {
			sidecars[i] = t.networking("Sidecar", fmt.Sprintf("s%d", i), fmt.Sprintf("{workloadSelector: {labels: {app: a%d}}, egress: [{hosts: ['*/*', %s]}]}", i, hosts))
		}
		return documents(append(sidecars, t.networking("Sidecar", "all", fmt.Sprintf("{egress: [{hosts: ['*/*', %s]}]}", hosts)))...)
	}},
	{"WorkloadEntries × ports", func(t Tenant, r *rand.Rand) string {
		objects := []string{t.networking("ServiceEntry", "machines", fmt.Sprintf("{hosts: [machines.example], resolution: STATIC, workloadSelector: {labels: {app: m}}, ports: [%s]}",
			many(size(r, 25), func(i int) string { return fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 7000+i, i) })))}
		for i := range size(r, 2000) {
			objects = append(objects, t.networking("WorkloadEntry", fmt.Sprintf("m%d", i), fmt.Sprintf("{address: 10.42.%d.%d, labels: {app: m}}", i/250, i%250)))
		}
		return documents(objects...)
	}},
	{"services × WorkloadEntries", func(t Tenant, r *rand.Rand) string {
		var objects []string
		for i := range size(r, 100) {
			objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: n%d, namespace: %s, %s}\nspec: {clusterIP: 10.96.201.%d, selector: {app: many}, ports: [{port: 80, name: http}]}\n", i, t.Namespace, age, i))
		}
		for i := range size(r, 1000) {
			objects = append(objects, t.networking("WorkloadEntry", fmt.Sprintf("n%d", i), fmt.Sprintf("{address: 10.44.%d.%d, labels: {app: many}}", i/250, i%250)))
		}
		return documents(objects...)
	}},
	{"services × slices", func(t Tenant, r *rand.Rand) string {
		var objects []string
		for i := range size(r, 10) {
			objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: l%d, namespace: %s, %s}\nspec: {clusterIP: 10.96.202.%d, ports: [{port: 80, name: http}]}\n", i, t.Namespace, age, i))
			for j := range size(r, 10) {
				objects = append(objects, fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: l%d-%d, namespace: %s, labels: {kubernetes.io/service-name: l%d}, %s}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [%s]\n",
					i, j, t.Namespace, i, age, many(size(r, 1000), func(e int) string { return fmt.Sprintf("{addresses: [11.%d.%d.%d]}", j, e/250, e%250) })))
			}
		}
		return documents(objects...)
	}},
	{"Ingress: paths", func(t Tenant, r *rand.Rand) string {
		return fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: paths, namespace: %s, %s}\nspec: {ingressClassName: istio, rules: [%s]}\n", t.Namespace, age,
			many(size(r, 1000), func(i int) string {
				return fmt.Sprintf("{host: i%d.example, http: {paths: [%s]}}", i, many(5, func(p int) string {
					return fmt.Sprintf("{path: /%d, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}", p)
				}))
			}))
	}},
	{"PeerAuthentications × ports", func(t Tenant, r *rand.Rand) string {
		objects := make([]string, size(r, 100))
		for i := range objects {
			objects[i] = t.object("security.istio.io/v1", "PeerAuthentication", fmt.Sprintf("p%d", i), fmt.Sprintf("{selector: {matchLabels: {app: a%d}}, mtls: {mode: STRICT}, portLevelMtls: {%s}}", i%10,
				many(size(r, 200), func(p int) string { return fmt.Sprintf("%d: {mode: PERMISSIVE}", 1+p) })))
		}
		return documents(objects...)
	}},
	{"ProxyConfigs × workloads", func(t Tenant, r *rand.Rand) string {
		var objects []string
		for i := range size(r, 500) {
			objects = append(objects, t.networking("WorkloadEntry", fmt.Sprintf("o%d", i), fmt.Sprintf("{address: 10.43.%d.%d, labels: {app: o}}", i/250, i%250)))
		}
		for i := range size(r, 1000) {
			objects = append(objects, t.object("networking.istio.io/v1beta1", "ProxyConfig", fmt.Sprintf("o%d", i), "{selector: {matchLabels: {app: o}}, concurrency: 2}"))
		}
		return documents(objects...)
	}},
	{"Telemetries", func(t Tenant, r *rand.Rand) string {
		objects := make([]string, size(r, 250))
		for i := range objects {
			objects[i] = t.object("telemetry.istio.io/v1", "Telemetry", fmt.Sprintf("t%d", i), fmt.Sprintf("{selector: {matchLabels: {app: a%d}}, accessLogging: [%s]}", i,
				many(size(r, 20), func(int) string { return "{providers: [{name: envoy}], filter: {expression: 'response.code >= 400'}}" })))
		}
		return documents(objects...)
	}},
	{"route: parents × matches", func(t Tenant, r *rand.Rand) string {
		return t.object("gateway.networking.k8s.io/v1", "HTTPRoute", "wide", fmt.Sprintf("{parentRefs: [%s], hostnames: [%s], rules: [%s]}", many(size(r, 32), numbered("{name: web%d, group: '', kind: Service}")),
			many(size(r, 16), numbered("r%d.example")), many(size(r, 16), func(rule int) string {
				return fmt.Sprintf("{matches: [%s], backendRefs: [%s]}", many(size(r, 64), func(m int) string { return fmt.Sprintf("{path: {value: /%d/%d}}", rule, m) }), many(16, numbered("{name: web%d, port: 80}")))
			})))
	}},
}
