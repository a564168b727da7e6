package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// size is how large a world is.
type size struct {
	Name       string `json:"name"`
	Services   int    `json:"services"`
	Pods       int    `json:"podsPerService"`
	Sidecars   int    `json:"sidecars"`
	Gateways   int    `json:"gateways"`
	Namespaces int    `json:"namespaces"`
}

// sizes are those that the figures of other control planes are given for.
var sizes = map[string]size{
	"S": {"S", 50, 4, 20, 1, 1},
	"M": {"M", 500, 5, 100, 2, 10},
	"L": {"L", 2000, 5, 500, 2, 40},
	"H": {"H", 10000, 1, 20, 1, 50},
	"F": {"F", 200, 2, 5000, 0, 10},
}

// object is one object of the API as it is written.
type object struct {
	kind            kind
	namespace, name string
	body            map[string]any
	status          map[string]any // written to the status subresource
}

// kind is how objects of one sort are reached.
type kind struct {
	api, kind, path string // path: "/api/v1", plural
	plural          string
}

var (
	kindNamespace       = kind{"v1", "Namespace", "/api/v1", "namespaces"}
	kindConfigMap       = kind{"v1", "ConfigMap", "/api/v1", "configmaps"}
	kindServiceAccount  = kind{"v1", "ServiceAccount", "/api/v1", "serviceaccounts"}
	kindService         = kind{"v1", "Service", "/api/v1", "services"}
	kindPod             = kind{"v1", "Pod", "/api/v1", "pods"}
	kindSlice           = kind{"discovery.k8s.io/v1", "EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices"}
	kindVirtualService  = istio("VirtualService", "virtualservices")
	kindDestinationRule = istio("DestinationRule", "destinationrules")
	kindGateway         = istio("Gateway", "gateways")
	kindServiceEntry    = istio("ServiceEntry", "serviceentries")
)

func istio(name, plural string) kind {
	return kind{"networking.istio.io/v1", name, "/apis/networking.istio.io/v1", plural}
}

// marshal is the object as JSON.
func (o object) marshal() ([]byte, error) {
	meta := map[string]any{"name": o.name}
	if o.namespace != "" {
		meta["namespace"] = o.namespace
	}
	body := map[string]any{"apiVersion": o.kind.api, "kind": o.kind.kind, "metadata": meta}
	for k, v := range o.body {
		if k == "labels" || k == "annotations" {
			meta[k] = v
			continue
		}
		body[k] = v
	}
	if o.status != nil {
		body["status"] = o.status
	}
	return json.Marshal(body)
}

// world is what the generator makes: equal seeds and sizes give equal worlds.
type world struct {
	size
	random *rand.Rand
	direct bool // objects are written as files: addresses of services are made here
}

func newWorld(s size, seed uint64, direct bool) *world {
	return &world{size: s, random: rand.New(rand.NewPCG(seed, uint64(s.Services))), direct: direct} //nolint:gosec // equal seeds give equal worlds
}

func (w *world) namespace(service int) string { return fmt.Sprintf("ns%d", service%w.Namespaces) }

func serviceName(i int) string { return fmt.Sprintf("s%d", i) }

// host is the full name of a service.
func (w *world) host(i int) string {
	return serviceName(i) + "." + w.namespace(i) + ".svc.cluster.local"
}

func podName(service, pod int) string { return fmt.Sprintf("s%d-p%d", service, pod) }

func podAddress(service, pod int) string {
	n := service*8 + pod
	return fmt.Sprintf("10.%d.%d.%d", 32+n>>16, n>>8&255, n&255)
}

// tcp tells whether a service speaks no HTTP.
func tcp(i int) bool { return i%10 == 7 }

// objects are all of the world, each after what it needs.
func (w *world) objects() (first, rest []object) {
	first = append(first, object{kind: kindNamespace, name: "istio-system"})
	for i := range w.Namespaces {
		first = append(first, object{kind: kindNamespace, name: fmt.Sprintf("ns%d", i)})
	}
	rest = append(rest, w.meshConfig(0), w.gateway())
	for g := range w.Gateways {
		rest = append(rest, pod("istio-system", fmt.Sprintf("ingress-%d", g), fmt.Sprintf("10.31.0.%d", g+1), map[string]string{"istio": "ingress"}))
	}
	for i := range w.Services {
		rest = append(rest, w.service(i))
		for p := range w.Pods {
			rest = append(rest, w.pod(i, p))
		}
		rest = append(rest, w.slice(i))
		if i%2 == 0 && !tcp(i) {
			rest = append(rest, w.route(i, 0))
		}
		if i%4 == 0 {
			rest = append(rest, w.rule(i, 0))
		}
		if i%25 == 3 {
			rest = append(rest, w.entry(i))
		}
	}
	return first, rest
}

func (w *world) service(i int) object {
	port := map[string]any{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}
	if tcp(i) {
		port["name"] = "tcp-db"
		port["port"] = 5432
	}
	spec := map[string]any{"selector": map[string]any{"app": serviceName(i)}, "ports": []any{port}}
	if w.direct {
		spec["clusterIP"] = fmt.Sprintf("10.96.%d.%d", (i+1)>>8, (i+1)&255)
	}
	return object{kind: kindService, namespace: w.namespace(i), name: serviceName(i), body: map[string]any{"spec": spec}}
}

// pod is a Pod with what Deployments, the scheduler, the injector and kubelets
// write into one.
func pod(namespace, name, address string, labels map[string]string) object {
	labels["security.istio.io/tlsMode"] = "istio"
	container := func(name string, port int) map[string]any {
		probe := map[string]any{"httpGet": map[string]any{"path": "/ready", "port": port}, "periodSeconds": 5}
		return map[string]any{
			"name": name, "image": "registry.example.com/team/" + name + ":1.2.3", "ports": []any{map[string]any{"containerPort": port}},
			"env": []any{map[string]any{"name": "LEVEL", "value": "info"}, map[string]any{"name": "POD_NAME", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.name"}}},
				map[string]any{"name": "POD_NAMESPACE", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.namespace"}}}},
			"resources":    map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "64Mi"}, "limits": map[string]any{"memory": "256Mi"}},
			"volumeMounts": []any{map[string]any{"name": "token", "mountPath": "/var/run/secrets/tokens", "readOnly": true}}, "readinessProbe": probe, "livenessProbe": probe,
		}
	}
	var conditions, statuses []any
	for _, c := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, map[string]any{"type": c, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"})
	}
	for _, c := range []string{"app", "proxy"} {
		digest := strings.Repeat("0123456789abcdef", 4)
		statuses = append(statuses, map[string]any{"name": c, "image": "registry.example.com/team/" + c + ":1.2.3", "imageID": "registry.example.com/team/" + c + "@sha256:" + digest,
			"containerID": "containerd://" + digest, "ready": true, "started": true, "restartCount": 0, "state": map[string]any{"running": map[string]any{"startedAt": "2026-01-01T00:00:00Z"}}})
	}
	return object{
		kind: kindPod, namespace: namespace, name: name,
		body: map[string]any{"labels": labels,
			"annotations": map[string]string{"sidecar.istio.io/status": `{"containers":["proxy"],"volumes":["token"]}`, "kubectl.kubernetes.io/default-container": "app", "prometheus.io/scrape": "true"},
			"spec": map[string]any{
				"containers": []any{container("app", 8080), container("proxy", 15090)}, "nodeName": "node-1", "serviceAccountName": "default",
				"volumes": []any{map[string]any{"name": "token", "projected": map[string]any{"sources": []any{map[string]any{"serviceAccountToken": map[string]any{"audience": "fairway", "path": "token"}}}}}},
				"tolerations": []any{map[string]any{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
					map[string]any{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}}}},
		status: map[string]any{"phase": "Running", "podIP": address, "podIPs": []any{map[string]any{"ip": address}}, "hostIP": "10.30.0.1", "startTime": "2026-01-01T00:00:00Z", "qosClass": "Burstable",
			"conditions": conditions, "containerStatuses": statuses},
	}
}

func (w *world) pod(i, p int) object {
	return pod(w.namespace(i), podName(i, p), podAddress(i, p), map[string]string{"app": serviceName(i), "version": fmt.Sprintf("v%d", 1+p%2)})
}

// slice lists the pods of a service and the addresses given besides.
func (w *world) slice(i int, more ...string) object {
	var endpoints []any
	for p := range w.Pods {
		endpoints = append(endpoints, map[string]any{"addresses": []any{podAddress(i, p)}, "conditions": map[string]any{"ready": true},
			"targetRef": map[string]any{"kind": "Pod", "name": podName(i, p), "namespace": w.namespace(i)}})
	}
	for _, a := range more {
		endpoints = append(endpoints, map[string]any{"addresses": []any{a}, "conditions": map[string]any{"ready": true}})
	}
	name := "http"
	if tcp(i) {
		name = "tcp-db"
	}
	return object{kind: kindSlice, namespace: w.namespace(i), name: serviceName(i) + "-slice", body: map[string]any{
		"labels": map[string]string{"kubernetes.io/service-name": serviceName(i)}, "addressType": "IPv4", "endpoints": endpoints,
		"ports": []any{map[string]any{"name": name, "port": 8080, "protocol": "TCP"}}}}
}

// mark is text in a route that tells one version of it from another.
func mark(what string, i, generation int) string {
	return fmt.Sprintf("%s-%d-g%d.", what, i, generation)
}

// route is a VirtualService with a rule for testers and one for all others.
func (w *world) route(i, generation int) object {
	to := func(weight int) []any {
		return []any{map[string]any{"destination": map[string]any{"host": w.host(i)}, "weight": weight}}
	}
	return object{kind: kindVirtualService, namespace: w.namespace(i), name: serviceName(i), body: map[string]any{"spec": map[string]any{
		"hosts": []any{w.host(i)},
		"http": []any{
			map[string]any{"match": []any{map[string]any{"headers": map[string]any{"x-user": map[string]any{"exact": "tester"}}}}, "route": to(100), "timeout": "3s"},
			map[string]any{"route": to(100), "headers": map[string]any{"response": map[string]any{"set": map[string]any{"x-mark": mark("route", i, generation)}}}},
		}}}}
}

func (w *world) rule(i, generation int) object {
	return object{kind: kindDestinationRule, namespace: w.namespace(i), name: serviceName(i), body: map[string]any{"spec": map[string]any{
		"host":          w.host(i),
		"trafficPolicy": map[string]any{"connectionPool": map[string]any{"http": map[string]any{"http1MaxPendingRequests": 1000 + generation}}},
		"subsets":       []any{map[string]any{"name": "v1", "labels": map[string]any{"version": "v1"}}, map[string]any{"name": "v2", "labels": map[string]any{"version": "v2"}}}}}}
}

func (w *world) entry(i int) object {
	host := fmt.Sprintf("api%d.example.com", i)
	return object{kind: kindServiceEntry, namespace: w.namespace(i), name: fmt.Sprintf("api%d", i), body: map[string]any{"spec": map[string]any{
		"hosts": []any{host}, "location": "MESH_EXTERNAL", "resolution": "STATIC",
		"ports":     []any{map[string]any{"number": 80, "name": "http", "protocol": "HTTP"}},
		"endpoints": []any{map[string]any{"address": fmt.Sprintf("192.0.2.%d", w.random.IntN(250)+1)}}}}}
}

func (w *world) gateway() object {
	return object{kind: kindGateway, namespace: "istio-system", name: "ingress", body: map[string]any{"spec": map[string]any{
		"selector": map[string]any{"istio": "ingress"},
		"servers":  []any{map[string]any{"port": map[string]any{"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": []any{"*"}}}}}}
}

// meshConfig is the configuration of the mesh; each generation differs in a
// value that every cluster carries.
func (w *world) meshConfig(generation int) object {
	return object{kind: kindConfigMap, namespace: "istio-system", name: "istio", body: map[string]any{
		"data": map[string]string{"mesh": fmt.Sprintf("connectTimeout: %ds\n", 10+generation)}}}
}
