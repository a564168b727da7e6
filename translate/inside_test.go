package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// parsedWorld makes the world of YAML documents.
func parsedWorld(t testing.TB, text string) *mesh.World {
	t.Helper()
	objects, findings, err := informers.Parse([]byte(text))
	if err != nil || len(findings) > 0 {
		t.Fatalf("%v, %v in\n%s", err, findings, text)
	}
	var changes []mesh.Change
	for _, o := range objects {
		if len(o.Findings) > 0 || o.Object == nil {
			t.Fatalf("%v in\n%s", o.Findings, text)
		}
		changes = append(changes, o.Change)
	}
	return mesh.Build(changes)
}

// dialled are the places that the clusters of the view lead to for a host, as
// far as the control plane tells them.
func dialled(v *mesh.View, host string) (out []string) {
	var inputs []ClusterInput
	if v.Scope.Role == mesh.RoleRouter {
		inputs = ResolveDestination(v, host)
	} else {
		inputs = ResolveHost(v, host).Clusters
	}
	for _, in := range inputs {
		c, _ := Cluster(in, nil)
		a := c.LoadAssignment
		if c.GetType() == clusterv3.Cluster_EDS && c.GetClusterType() == nil {
			of := in.endpointsInput()
			_, of.Endpoints = v.Service(in.Service.Host)
			a = Endpoints(of)
		}
		if c.GetClusterType().GetName() == "envoy.clusters.dynamic_forward_proxy" {
			out = append(out, "whatever the request names")
		}
		out = append(out, placesOf(a)...)
	}
	return out
}

func placesOf(a *endpointv3.ClusterLoadAssignment) (out []string) {
	for _, l := range a.GetEndpoints() {
		for _, e := range l.LbEndpoints {
			at := e.GetEndpoint().GetAddress()
			out = append(out, at.GetSocketAddress().GetAddress()+at.GetPipe().GetPath()+fmt.Sprint(" ", at.GetSocketAddress().GetPortValue()))
		}
	}
	return out
}

// insidePods are a gateway's pod and a server's, with a Service of another
// namespace that leads to it under a virtual address.
const insidePods = `
{apiVersion: v1, kind: Pod, metadata: {name: gw-0, namespace: edge, labels: {app: gw}}, spec: {containers: [{name: c, image: c}]}, status: {phase: Running, podIP: 10.244.0.7, podIPs: [{ip: 10.244.0.7}, {ip: "fd00:244::7"}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: gw, namespace: edge}, spec: {clusterIP: 10.96.0.7, selector: {app: gw}, ports: [{name: http-status, port: 15021}, {name: http-odd, port: 80, targetPort: 15090}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: edge}, spec: {clusterIP: None, selector: {app: gw}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: selfish, namespace: evil}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: selfish-1, namespace: evil, labels: {kubernetes.io/service-name: selfish}}, addressType: IPv4, ports: [{name: http, port: 80}], endpoints: [{addresses: [127.0.0.1]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: evil}, spec: {type: ExternalName, externalName: localhost, ports: [{name: http, port: 80}]}}
`

// spelling is one way to write a place, with the port to dial there.
type spelling struct {
	address string
	port    int
}

func spellings() (out []spelling) {
	for _, a := range []string{
		"127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.1.2.3", "::1", "::", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0.0.0.0",
		"::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1:7f00:0:100::", "2002:7f00:1::", "2002:a9fe:a9fe::1", "fe80::5efe:127.0.0.1", "2001:db8::5efe:127.0.0.1",
		"2001:0:0:0:0:0:80ff:fffe", "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "FD00:EC2:0::254", "64:ff9b::169.254.169.254", "100.100.100.200", "224.0.0.1", "255.255.255.255", "ff02::1",
	} {
		out = append(out, spelling{a, 8080})
	}
	for port := 15000; port <= 15090; port++ {
		out = append(out, spelling{"10.244.0.7", port})
	}
	out = append(out, spelling{"fd00:244::7", 15000}, spelling{"::ffff:10.244.0.7", 15021}, spelling{"10.96.0.7", 15021}, spelling{"10.96.0.7", 80})
	return out
}

// names are places that only a resolution by DNS can have.
func insideNames() (out []spelling) {
	for _, a := range []string{
		"localhost", "LOCALHOST", "localhost.", "LocalHost.LocalDomain", "localhost.localdomain.", "a.localhost", "a.b.localhost.", "ip6-localhost", "ip6-loopback", "localhost4", "localhost6.localdomain6",
		"127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "017700000001", "metadata.google.internal", "METADATA.google.internal.",
		"127-0-0-1.evil.pod.cluster.local", "127-0-0-1.evil.pod", "--1.evil.pod.cluster.local", "169-254-169-254.x.pod.cluster.local.",
		"selfish.evil.svc.cluster.local", "selfish.evil.svc", "selfish.evil", "db-0.selfish.evil.svc.cluster.local", "alias.evil.svc.cluster.local", "alias.evil",
		"[::1]", "::1%lo", "fe80::1%eth0", "127.0.0.1%lo",
	} {
		out = append(out, spelling{a, 8080})
	}
	for _, a := range []string{"10-244-0-7.edge.pod.cluster.local", "bare.edge.svc.cluster.local", "bare.edge", "gw-0.bare.edge.svc", "10-244-0-7.bare.edge.svc.cluster.local", "gw-0"} {
		out = append(out, spelling{a, 15000}, spelling{a, 15006})
	}
	return append(out, spelling{"gw.edge.svc.cluster.local", 15021}, spelling{"gw.edge", 80})
}

func entryText(host, resolution, rest string, at spelling) string {
	return fmt.Sprintf("\n---\n{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: se, namespace: evil}, spec: {hosts: [%q], location: MESH_INTERNAL, resolution: %s, ports: [{number: 80, name: http, protocol: HTTP, targetPort: %d}]%s}}", host, resolution, at.port, rest)
}

// insideKinds are the objects by which a tenant can name an endpoint; nil for
// a kind that does not take the spelling.
func insideKinds() map[string]func(at spelling, dns bool) (text, host string) {
	const host = "x.evil.example"
	inline := func(resolution string) func(spelling, bool) (string, string) {
		return func(at spelling, dns bool) (string, string) {
			if dns && !strings.HasPrefix(resolution, "DNS") {
				return "", ""
			}
			return entryText(host, resolution, fmt.Sprintf(", endpoints: [{address: %q}]", at.address), at), host
		}
	}
	workload := func(resolution string) func(spelling, bool) (string, string) {
		return func(at spelling, dns bool) (string, string) {
			if dns && !strings.HasPrefix(resolution, "DNS") {
				return "", ""
			}
			return entryText(host, resolution, ", workloadSelector: {labels: {app: x}}", at) +
				fmt.Sprintf("\n---\n{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: we, namespace: evil}, spec: {address: %q, labels: {app: x}}}", at.address), host
		}
	}
	return map[string]func(spelling, bool) (string, string){
		"ServiceEntry STATIC": inline("STATIC"), "ServiceEntry NONE": inline("NONE"), "ServiceEntry DNS": inline("DNS"), "ServiceEntry DNS_ROUND_ROBIN": inline("DNS_ROUND_ROBIN"),
		"WorkloadEntry STATIC": workload("STATIC"), "WorkloadEntry DNS": workload("DNS"),
		"Service with a WorkloadEntry": func(at spelling, dns bool) (string, string) {
			if dns {
				return "", ""
			}
			return fmt.Sprintf("\n---\n{apiVersion: v1, kind: Service, metadata: {name: x, namespace: evil}, spec: {clusterIP: 10.96.9.9, selector: {app: x}, ports: [{name: http, port: 80, targetPort: %d}]}}\n---\n{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: we, namespace: evil}, spec: {address: %q, labels: {app: x}}}", at.port, at.address), "x.evil.svc.cluster.local"
		},
		"EndpointSlice":             sliceKind("10.96.9.9", ""),
		"EndpointSlice, headless":   sliceKind("None", ""),
		"EndpointSlice, own target": sliceKind("10.96.9.9", ", targetRef: {kind: Pod, namespace: evil, name: mine}"),
		"host of an entry": func(at spelling, dns bool) (string, string) {
			if !dns || strings.ContainsAny(at.address, ":[%") || strings.HasSuffix(strings.TrimSuffix(at.address, "."), ".svc.cluster.local") { // those are the names of Services
				return "", ""
			}
			host := strings.ToLower(strings.TrimSuffix(at.address, "."))
			return entryText(host, "DNS", "", at), host
		},
	}
}

func sliceKind(clusterIP, target string) func(spelling, bool) (string, string) {
	return func(at spelling, dns bool) (string, string) {
		if dns {
			return "", ""
		}
		family := "IPv4"
		if strings.Contains(at.address, ":") {
			family = "IPv6"
		}
		return fmt.Sprintf(`
---
{apiVersion: v1, kind: Service, metadata: {name: x, namespace: evil}, spec: {clusterIP: %s, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mine, namespace: evil, labels: {app: mine}}, spec: {containers: [{name: c, image: c}]}, status: {phase: Running, podIP: 10.244.0.66, podIPs: [{ip: 10.244.0.66}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x-1, namespace: evil, labels: {kubernetes.io/service-name: x}}, addressType: %s, ports: [{name: http, port: %d}], endpoints: [{addresses: [%q]%s}]}`, clusterIP, family, at.port, at.address, target), "x.evil.svc.cluster.local"
	}
}

// TestNothingLeadsInside walks every kind of object that names endpoints,
// every spelling of a place that means the proxy itself, and every role of a
// proxy: gateways and sidecars of other namespaces are led to none of them.
func TestNothingLeadsInside(t *testing.T) {
	shared := map[string]mesh.Scope{
		"gateway":                            {Role: mesh.RoleRouter, Namespace: "edge", Labels: "app=gw"},
		"gateway of the object's namespace":  {Role: mesh.RoleRouter, Namespace: "evil", Labels: "app=gw"},
		"sidecar":                            {Namespace: "shop"},
		"sidecar of no particular namespace": {},
	}
	tried := 0
	for kind, obj := range insideKinds() {
		for i, at := range append(spellings(), insideNames()...) {
			text, host := obj(at, i >= len(spellings()))
			if text == "" {
				continue
			}
			tried++
			w := parsedWorld(t, insidePods+text)
			for role, scope := range shared {
				if got := dialled(w.View(scope), host); len(got) > 0 {
					t.Errorf("%s, %s port %d: the %s is led to %v", kind, at.address, at.port, role, got)
				}
			}
			found := slices.ContainsFunc(slices.Collect(w.Findings()), func(f object.Finding) bool {
				return f.Object.Namespace == "evil" && f.Object.Name != "selfish" && f.Object.Name != "alias"
			})
			if !found {
				t.Errorf("%s, %s port %d: no finding", kind, at.address, at.port)
			}
		}
	}
	t.Logf("%d objects", tried)
}

// TestOwnersMayLeadInside: what others are not led to, sidecars of the object's
// own namespace are, and all proxies when the operator allows it.
func TestOwnersMayLeadInside(t *testing.T) {
	own := mesh.Scope{Namespace: "evil"}
	allowed := "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: \"fairway: {localEndpoints: 'evil'}\"}}"
	for kind, obj := range insideKinds() {
		for i, at := range []spelling{{"127.0.0.1", 8080}, {"10.244.0.7", 15000}, {"localhost", 8080}} {
			text, host := obj(at, i == 2)
			if text == "" {
				continue
			}
			if got := dialled(parsedWorld(t, insidePods+text).View(own), host); len(got) == 0 && kind != "ServiceEntry NONE" {
				t.Errorf("%s, %s: the owner's sidecars are led nowhere", kind, at.address)
			}
			w := parsedWorld(t, insidePods+text+allowed)
			for _, scope := range []mesh.Scope{{Role: mesh.RoleRouter, Namespace: "edge", Labels: "app=gw"}, {Namespace: "shop"}} {
				if got := dialled(w.View(scope), host); len(got) == 0 && (kind != "ServiceEntry NONE" || scope.Role == mesh.RoleRouter) {
					t.Errorf("%s, %s, allowed: %v is led nowhere", kind, at.address, scope)
				}
			}
			for f := range w.Findings() {
				if f.Code == object.CodeWithheld {
					t.Errorf("%s, %s, allowed: %v", kind, at.address, f)
				}
			}
		}
	}
}

// TestHonestEndpointsStay: no address of a server is taken for the proxy's own.
func TestHonestEndpointsStay(t *testing.T) {
	for _, at := range []spelling{
		{"10.244.0.7", 8080}, {"10.244.0.7", 14999}, {"10.244.0.7", 15091}, {"10.244.0.99", 15010}, {"192.0.2.1", 15000}, {"2001:db8::1", 443}, {"64:ff9b::8.8.8.8", 443}, {"2002:808:808::1", 443},
		{"1.1.1.1", 80}, {"fd00:244::7", 80}, {"172.16.0.1", 80}, {"10.96.0.7", 443},
	} {
		for _, resolution := range []string{"STATIC", "DNS"} {
			text, host := insideKinds()["ServiceEntry "+resolution](at, false)
			w := parsedWorld(t, insidePods+text)
			for _, scope := range []mesh.Scope{{Role: mesh.RoleRouter, Namespace: "edge"}, {Namespace: "shop"}} {
				if len(dialled(w.View(scope), host)) != 1 {
					t.Errorf("%s %d: %v is led nowhere", at.address, at.port, scope)
				}
			}
		}
	}
	for _, at := range []spelling{{"db.example.com", 15000}, {"localhost.example.com", 80}, {"notlocalhost", 80}, {"a.1a", 80}, {"gw.edge.svc.cluster.local", 443}, {"bare.edge", 80}, {"under_score.example", 80}} {
		text, host := insideKinds()["ServiceEntry DNS"](at, true)
		if len(dialled(parsedWorld(t, insidePods+text).View(mesh.Scope{Role: mesh.RoleRouter, Namespace: "edge"}), host)) != 1 {
			t.Errorf("%s %d: the gateway is led nowhere", at.address, at.port)
		}
	}
}

// TestNamesThatRequestsCarry: an entry whose proxies resolve what requests name
// is not served when the only names that it covers are the proxy's own.
func TestNamesThatRequestsCarry(t *testing.T) {
	for _, host := range []string{"localhost", "*.localhost", "127.0.0.1", "localhost.localdomain", "*.evil.example"} {
		text := entryText(host, "DYNAMIC_DNS", "", spelling{port: 8080})
		w := parsedWorld(t, insidePods+text)
		honest := host == "*.evil.example"
		for _, scope := range []mesh.Scope{{Role: mesh.RoleRouter, Namespace: "edge"}, {Namespace: "shop"}} {
			if got := dialled(w.View(scope), host); (len(got) > 0) != honest {
				t.Errorf("%s: %v is led to %v", host, scope, got)
			}
		}
		if got := dialled(w.View(mesh.Scope{Namespace: "evil"}), host); len(got) == 0 {
			t.Errorf("%s: the owner's sidecars are led nowhere", host)
		}
	}
}
