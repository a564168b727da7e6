package random_test

import (
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/test/random"
)

// TestFound keeps what random meshes have found, each as the smallest mesh and
// the change that showed it.
func TestFound(t *testing.T) {
	for _, c := range []struct{ name, world, change string }{
		{
			name: "a workloadSelector without labels selects Pods that come later too",
			world: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: all, namespace: b}
spec: {hosts: [ext.example.com], ports: [{number: 81, name: tcp, protocol: TCP}], resolution: STATIC, workloadSelector: {}}
`,
			change: `
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: b, labels: {app: db}}
status: {podIP: 10.0.1.30, conditions: [{type: Ready, status: "True"}]}
`,
		},
		{
			name: "a proxy that no Pod stands for listens for a Service that comes to select it",
			change: `
apiVersion: v1
kind: Service
metadata: {name: api, namespace: b}
spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
`,
		},
		{
			name: "an address of one host is the name of another",
			world: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: a}
spec: {hosts: [ext.example.com], addresses: [10.77.0.1], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`,
			change: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: address, namespace: b}
spec: {hosts: [10.77.0.1], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`,
		},
		{
			name: "access logs of a provider without a name",
			change: `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: nameless, namespace: a}
spec: {accessLogging: [{providers: [{}]}]}
`,
		},
		{
			name: "an ExternalName that is a pattern",
			world: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: b}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pattern, namespace: b}
spec: {hosts: ["*.example.com"], ports: [{number: 80, name: http, protocol: HTTP}]}
`,
			change: `
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: a}
spec: {type: ExternalName, externalName: "*.example.com", ports: [{name: http, port: 80}]}
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := read(t, calm)
			for ref, o := range read(t, c.world) {
				objects[ref] = o
			}
			r := &run{t: t, clients: clients, source: &random.Source{Choices: random.NewChoices(1, nil), Words: random.DefaultWords()}}
			r.plane = started(t, clients, objects)
			mustBeValid(t, r.plane.contents())
			for ref, o := range read(t, c.change) {
				r.step(mesh.Change{Ref: ref, Object: o})
			}
		})
	}
}
