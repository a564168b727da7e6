package mesh

import (
	"slices"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func readObject[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.Unmarshal([]byte(text), o); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o
}

// Hosts that are none must not stand for others: "**" would be every host.
func TestHostsThatAreNone(t *testing.T) {
	bad := []string{"**", "", " ", "*.", "*.*.com", "a.*.com", "foo*", "bad host", "10.0.0.0/8", "a.b:80", "-x.example", "http://x.example"}
	good := []string{"web.default.svc.cluster.local", "*", "*.example.com", "*-x.example.com", "*x.example.com", "10.0.0.1", "x_y.example"}
	vs := &networkingv1.VirtualService{}
	vs.Namespace = "default"
	vs.Spec.Gateways = []string{"entry"} // sidecars leave * out
	vs.Spec.Hosts = slices.Concat(bad, good)
	v, findings := traffic.ParseVirtualService(vs, object.Domain)
	if !slices.Equal(v.Hosts, good) || len(findings) != len(bad) {
		t.Errorf("a VirtualService has hosts %q and %d findings, not %q and one for each of the others", v.Hosts, len(findings), good)
	}
	se := &networkingv1.ServiceEntry{}
	se.Spec.Hosts = slices.Concat(bad, []string{"good.example"})
	if e := registry.ParseServiceEntry(se, object.Domain); len(e.Services) != 1 || e.Services[0].Host != "good.example" || len(e.Findings) != len(bad) {
		t.Errorf("a ServiceEntry has services %v and findings %v", e.Services, e.Findings)
	}
}

// What reaches the directory was never validated: a number that is no port and
// an address that is none make Envoy refuse the resource.
func TestNumbersAndAddressesThatEnvoyRefuses(t *testing.T) {
	svc := registry.ParseService(readObject[corev1.Service](t, `
metadata: {name: a, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: 70000}, {name: a, port: 70000}, {name: b, port: -1}, {name: c, port: 81, targetPort: web}]}`), object.Domain)
	w := registry.ParsePod(readObject[corev1.Pod](t, `
metadata: {name: a, namespace: default}
spec: {containers: [{name: app, ports: [{name: web, containerPort: 90000}, {containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}`), nil)
	e, ok := registry.EndpointOfPod(svc, w)
	if !ok || len(svc.Ports) != 2 || !slices.Equal(e.Ports, []uint32{80, 0}) || !slices.Equal(w.Listening, []uint32{8080}) {
		t.Errorf("ports %v lead to %v of a workload that listens on %v", svc.Ports, e.Ports, w.Listening)
	}

	entry := func(spec string) (*registry.ServiceEntry, []registry.Endpoint) {
		o := readObject[networkingv1.ServiceEntry](t, "metadata: {name: a, namespace: default}\nspec: "+spec)
		se := registry.ParseServiceEntry(o, object.Domain)
		b := newBuilder()
		for name, we := range map[string]string{"none": `{labels: {app: a}}`, "name": `{address: a.example, labels: {app: a}}`, "port": `{address: 10.0.0.1, labels: {app: a}, ports: {http: 70000}}`} {
			o := readObject[networkingv1.WorkloadEntry](t, "metadata: {name: "+name+", namespace: default}\nspec: "+we)
			b.workloadEntry(object.Ref{Kind: object.KindWorkloadEntry, Namespace: "default", Name: name}, o)
		}
		return se, b.entryEndpoints(se, se.Services[0])
	}
	se, eps := entry(`{hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 70000}], endpoints: [{address: 10.0.0.1, ports: {http: 70000}}, {address: 10.0.0.2}, {address: a.example}]}`)
	if len(eps) != 2 || eps[0].Ports[0] != 0 || eps[1].Ports[0] != 80 || len(se.Findings) != 2 {
		t.Errorf("inline endpoints are %v with findings %v", eps, se.Findings)
	}
	if _, eps = entry(`{hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: a}}}`); len(eps) != 1 || eps[0].Address != "10.0.0.1" || eps[0].Ports[0] != 0 {
		t.Errorf("selected endpoints of a static entry are %v", eps)
	}
	if _, eps = entry(`{hosts: [a.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: a}}}`); len(eps) != 2 {
		t.Errorf("selected endpoints of an entry that is resolved are %v", eps)
	}

	gw, findings := traffic.ParseGateway(readObject[networkingv1.Gateway](t, `
metadata: {name: a, namespace: default}
spec: {servers: [{port: {number: 80, name: a, protocol: HTTP}, bind: not-an-ip, hosts: ["*"]}, {port: {number: 81, name: b, protocol: HTTP}, bind: 10.0.0.1, hosts: ["*"]}]}`))
	if len(gw.Servers) != 1 || gw.Servers[0].Number != 81 || len(findings) != 1 || findings[0].Field != "spec.servers[0].bind" {
		t.Errorf("servers %v, findings %v", gw.Servers, findings)
	}
}

// What covers parts of labels is no pattern that hosts are looked up by, which is said.
func TestPatternsThatEndWithinALabel(t *testing.T) {
	vs := &networkingv1.VirtualService{}
	vs.Spec.Hosts = []string{"*x.example.com", "*.example.com", "web.example.com"}
	if _, findings := traffic.ParseVirtualService(vs, object.Domain); len(findings) != 1 || findings[0].Field != "spec.hosts[0]" || findings[0].Code != object.CodeUnsupported {
		t.Errorf("a VirtualService has findings %v", findings)
	}
	for host, want := range map[string]int{"*x.example.com": 1, "*.example.com": 0, "*": 0, "x.example.com": 0} {
		dr := &networkingv1.DestinationRule{}
		dr.Spec.Host = host
		if _, findings := traffic.ParseDestinationRule(dr, object.Domain); len(findings) != want {
			t.Errorf("a DestinationRule for %s has findings %v", host, findings)
		}
	}
}
