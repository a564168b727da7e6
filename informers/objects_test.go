package informers

import "github.com/fairway-mesh/fairway/mesh"

// examples are an object of each kind, without apiVersion, kind and metadata.
// after replaces before in them for an update that the mesh has to see.
var examples = map[mesh.Kind]struct{ body, before, after string }{
	mesh.KindService:               {`spec: {ports: [{name: http, port: 80}]}`, "80", "81"},
	mesh.KindPod:                   {`spec: {containers: [{name: app, image: none, ports: [{containerPort: 80}]}]}`, "", ""},
	mesh.KindNode:                  {`spec: {}`, "", ""},
	mesh.KindNamespace:             {`spec: {}`, "", ""},
	mesh.KindEndpointSlice:         {"addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\nports: [{name: http, port: 80}]", "80", "81"},
	mesh.KindVirtualService:        {`spec: {hosts: [a.example.com], http: [{route: [{destination: {host: a}}]}]}`, "a.example", "b.example"},
	mesh.KindDestinationRule:       {`spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}`, "version: v1", "version: v2"},
	mesh.KindGateway:               {`spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`, "80", "81"},
	mesh.KindServiceEntry:          {`spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}`, "80", "81"},
	mesh.KindWorkloadEntry:         {`spec: {address: 10.0.0.1}`, "10.0.0.1", "10.0.0.2"},
	mesh.KindSidecar:               {`spec: {egress: [{hosts: ["./*"]}]}`, "./*", "*/*"},
	mesh.KindProxyConfig:           {`spec: {concurrency: 1}`, "1", "2"},
	mesh.KindPeerAuthentication:    {`spec: {mtls: {mode: STRICT}}`, "STRICT", "PERMISSIVE"},
	mesh.KindRequestAuthentication: {`spec: {jwtRules: [{issuer: a, jwks: "{}"}]}`, "issuer: a", "issuer: b"},
	mesh.KindAuthorizationPolicy:   {`spec: {action: DENY, rules: [{}]}`, "DENY", "ALLOW"},
	mesh.KindTelemetry:             {`spec: {tracing: [{randomSamplingPercentage: 1}]}`, "1", "2"},
	mesh.KindIngress:               {`spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}`, "a.example", "b.example"},
	mesh.KindIngressClass:          {"metadata: {labels: {a: a}}\nspec: {controller: istio.io/ingress-controller}", "a: a", "a: b"},
	mesh.KindGatewayClass:          {`spec: {controllerName: example.com/a, description: a}`, "description: a", "description: b"},
	mesh.KindKubeGateway:           {`spec: {gatewayClassName: a, listeners: [{name: http, port: 80, protocol: HTTP}]}`, "80", "81"},
	mesh.KindHTTPRoute:             {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	mesh.KindGRPCRoute:             {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	mesh.KindTLSRoute:              {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	mesh.KindTCPRoute:              {`spec: {rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	mesh.KindReferenceGrant:        {`spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: "", kind: Service}]}`, "namespace: a", "namespace: b"},
}
