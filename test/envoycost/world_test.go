package envoycost

import (
	"fmt"
	"net/netip"
)

func meta(namespace, name string, labels map[string]any) object {
	return object{"name": name, "namespace": namespace, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
}

func podOf(name, app string, at netip.Addr) object {
	m := meta("shop", name, map[string]any{"app": app, "version": "v1", "pod-template-hash": "5d4f", "security.istio.io/tlsMode": "istio"})
	m["annotations"] = object{"sidecar.istio.io/inject": "true"}
	m["ownerReferences"] = []any{object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app + "-5d4f", "uid": app, "controller": true}}
	return object{
		"apiVersion": "v1", "kind": "Pod", "metadata": m,
		"spec": object{"serviceAccountName": app, "nodeName": "node-1", "containers": []any{object{"name": "app", "image": "app"}}},
		"status": object{"phase": "Running", "podIP": at.String(), "podIPs": []any{object{"ip": at.String()}},
			"conditions": []any{object{"type": "Ready", "status": "True"}}},
	}
}

// baseWorld is a client, a server, and a service of the server with a port of
// either kind; and a service of five pods that nobody runs.
func baseWorld() []object {
	out := []object{
		{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": "node-1"}},
		podOf("client-5d4f-0", "client", clientAddress), podOf("server-5d4f-0", "server", serverAddress),
	}
	out = append(out, serviceOf("server", serviceAddress, serverAddress)...)
	var five []netip.Addr
	for i := range 5 {
		at := netip.AddrFrom4([4]byte{10, 244, 2, byte(i + 1)})
		five = append(five, at)
		out = append(out, podOf(fmt.Sprintf("five-5d4f-%d", i), "five", at))
	}
	return append(out, serviceOf("five", "10.96.0.11", five...)...)
}

func serviceOf(app, address string, at ...netip.Addr) []object {
	var endpoints []any
	for i, a := range at {
		endpoints = append(endpoints, object{"addresses": []any{a.String()}, "nodeName": "node-1", "conditions": object{"ready": true},
			"targetRef": object{"kind": "Pod", "namespace": "shop", "name": fmt.Sprintf("%s-5d4f-%d", app, i)}})
	}
	return []object{
		{"apiVersion": "v1", "kind": "Service", "metadata": meta("shop", app, nil), "spec": object{
			"clusterIP": address, "clusterIPs": []any{address}, "selector": object{"app": app},
			"ports": []any{object{"name": "http", "port": httpPort, "targetPort": 8080}, object{"name": "tcp", "port": tcpPort, "targetPort": 9000}},
		}},
		{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta("shop", app, map[string]any{"kubernetes.io/service-name": app}), "addressType": "IPv4",
			"ports": []any{object{"name": "http", "port": 8080}, object{"name": "tcp", "port": 9000}}, "endpoints": endpoints},
	}
}

// services are n services with one port for HTTP and so many pods each, which
// differ in all that metrics tell of them.
func services(n, pods int) (out []object) {
	for i := range n {
		app, at := fmt.Sprintf("s%d", i), []netip.Addr{}
		for k := range pods {
			a := netip.AddrFrom4([4]byte{10, 245, byte(i), byte(k + 1)})
			out, at = append(out, podOf(fmt.Sprintf("%s-5d4f-%d", app, k), app, a)), append(at, a)
		}
		both := serviceOf(app, fmt.Sprintf("10.96.1.%d", i+1), at...)
		spec := both[0]["spec"].(object)
		spec["ports"] = spec["ports"].([]any)[:1]
		out = append(out, both...)
	}
	return out
}

// entrance is a gateway for requests and bytes to the server.
func entrance() []object {
	to := func(port int) []any {
		return []any{object{"destination": object{"host": "server.shop.svc.cluster.local", "port": object{"number": port}}}}
	}
	return []object{
		podOf("gateway-5d4f-0", "gateway", gatewayAddress),
		{"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": meta("shop", "gateway", nil), "spec": object{"selector": object{"app": "gateway"}, "servers": []any{
			object{"port": object{"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": []any{"*"}},
			object{"port": object{"number": tcpPort, "name": "tcp", "protocol": "TCP"}, "hosts": []any{"*"}},
		}}},
		{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta("shop", "entrance", nil), "spec": object{
			"hosts": []any{"*"}, "gateways": []any{"gateway"},
			"http": []any{object{"match": []any{object{"uri": object{"prefix": "/"}}}, "route": to(httpPort)}},
			"tcp":  []any{object{"match": []any{object{"port": tcpPort}}, "route": to(tcpPort)}},
		}},
	}
}

const five = "five.shop.svc.cluster.local"

// subsets give the service of five pods that many clusters for each of its two
// ports, with all pods in them if the labels are theirs.
func subsets(n int, labels object) object {
	var list []any
	for i := range n {
		list = append(list, object{"name": fmt.Sprintf("v%d", i), "labels": labels})
	}
	return object{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta("shop", "five", nil),
		"spec": object{"host": five, "subsets": list}}
}

func destination() []any {
	return []any{object{"destination": object{"host": five, "port": object{"number": httpPort}}}}
}

// rules give the service of five pods a virtual host with n routes.
func rules(n int) object {
	var list []any
	for i := range n {
		list = append(list, object{"match": []any{object{"headers": object{"x-case": object{"exact": fmt.Sprint(i)}}}}, "route": destination()})
	}
	return object{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta("shop", "five", nil),
		"spec": object{"hosts": []any{five}, "http": list}}
}

// hosts are n virtual hosts of one route that lead to the service of five pods.
func hosts(n int) object {
	var list []any
	for i := range n {
		list = append(list, fmt.Sprintf("h%d.example.com", i))
	}
	return object{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta("shop", "five", nil),
		"spec": object{"hosts": list, "http": []any{object{"route": destination()}}}}
}

// uncounted takes the metrics away.
func uncounted() object {
	return object{"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": meta("istio-system", "none", nil), "spec": object{
		"metrics": []any{object{"providers": []any{object{"name": "prometheus"}}, "overrides": []any{object{"match": object{"metric": "ALL_METRICS"}, "disabled": true}}}},
	}}
}
