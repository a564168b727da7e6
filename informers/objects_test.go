package informers

import "github.com/fairway-mesh/fairway/mesh/object"

// examples are an object of each kind, without apiVersion, kind and metadata.
// after replaces before in them for an update that the mesh has to see.
var examples = map[object.Kind]struct{ body, before, after string }{
	object.KindService:               {`spec: {ports: [{name: http, port: 80}]}`, "80", "81"},
	object.KindPod:                   {`spec: {containers: [{name: app, image: none, ports: [{containerPort: 80}]}]}`, "", ""},
	object.KindNode:                  {`spec: {}`, "", ""},
	object.KindNamespace:             {`spec: {}`, "", ""},
	object.KindEndpointSlice:         {"addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\nports: [{name: http, port: 80}]", "80", "81"},
	object.KindVirtualService:        {`spec: {hosts: [a.example.com], http: [{route: [{destination: {host: a}}]}]}`, "a.example", "b.example"},
	object.KindDestinationRule:       {`spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}`, "version: v1", "version: v2"},
	object.KindGateway:               {`spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`, "80", "81"},
	object.KindServiceEntry:          {`spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}`, "80", "81"},
	object.KindWorkloadEntry:         {`spec: {address: 10.0.0.1}`, "10.0.0.1", "10.0.0.2"},
	object.KindSidecar:               {`spec: {egress: [{hosts: ["./*"]}]}`, "./*", "*/*"},
	object.KindProxyConfig:           {`spec: {concurrency: 1}`, "1", "2"},
	object.KindPeerAuthentication:    {`spec: {mtls: {mode: STRICT}}`, "STRICT", "PERMISSIVE"},
	object.KindRequestAuthentication: {`spec: {jwtRules: [{issuer: a, jwks: "{}"}]}`, "issuer: a", "issuer: b"},
	object.KindAuthorizationPolicy:   {`spec: {action: DENY, rules: [{}]}`, "DENY", "ALLOW"},
	object.KindTelemetry:             {`spec: {tracing: [{randomSamplingPercentage: 1}]}`, "1", "2"},
	object.KindIngress:               {`spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}`, "a.example", "b.example"},
	object.KindIngressClass:          {"metadata: {labels: {a: a}}\nspec: {controller: istio.io/ingress-controller}", "a: a", "a: b"},
	object.KindGatewayClass:          {`spec: {controllerName: example.com/a, description: a}`, "description: a", "description: b"},
	object.KindKubeGateway:           {`spec: {gatewayClassName: a, listeners: [{name: http, port: 80, protocol: HTTP}]}`, "80", "81"},
	object.KindHTTPRoute:             {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	object.KindGRPCRoute:             {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	object.KindTLSRoute:              {`spec: {hostnames: [a.example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	object.KindTCPRoute:              {`spec: {rules: [{backendRefs: [{name: a, port: 80}]}]}`, "80", "81"},
	object.KindReferenceGrant:        {`spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: "", kind: Service}]}`, "namespace: a", "namespace: b"},
	object.KindListenerSet:           {`spec: {parentRef: {name: a}, listeners: [{name: http, port: 80, protocol: HTTP}]}`, "80", "81"},
	object.KindBackendTLSPolicy:      {`spec: {targetRefs: [{group: "", kind: Service, name: a}], validation: {hostname: a.example.com, wellKnownCACertificates: System}}`, "hostname: a.example.com", "hostname: b.example.com"},
}
