package fields_test

// exceptions are the fields that change nothing and are not told, each with its reason.
var exceptions = map[string]string{
	"/Service ServiceSpec.allocateLoadBalancerNodePorts": ofNodes, "/Service ServiceSpec.externalTrafficPolicy": ofNodes, "/Service ServiceSpec.healthCheckNodePort": ofNodes,
	"/Service ServicePort.nodePort": ofNodes, "/Service ServiceSpec.loadBalancerClass": ofNodes, "/Service ServiceSpec.loadBalancerIP": ofNodes, "/Service ServiceSpec.loadBalancerSourceRanges": ofNodes,
	"/Service ServiceSpec.externalIPs":           ofNodes + "; those of a gateway's Service are told in the status of its Gateways",
	"/Service ServiceSpec.ipFamilies":            ofFamilies,
	"/Service ServiceSpec.ipFamilyPolicy":        ofFamilies,
	"/Service ServiceSpec.sessionAffinityConfig": ofAffinity,
	"/Service SessionAffinityConfig.clientIP":    ofAffinity,
	"/Service ClientIPConfig.timeoutSeconds":     ofAffinity,

	"discovery.k8s.io/EndpointSlice Endpoint.deprecatedTopology": "only versions of old have it; zone and nodeName say the same",
	"discovery.k8s.io/EndpointSlice Endpoint.hints":              ofHints, "discovery.k8s.io/EndpointSlice EndpointHints.forNodes": ofHints, "discovery.k8s.io/EndpointSlice EndpointHints.forZones": ofHints,
	"discovery.k8s.io/EndpointSlice ForNode.name": ofHints, "discovery.k8s.io/EndpointSlice ForZone.name": ofHints,
	"discovery.k8s.io/EndpointSlice Endpoint.hostname":          "names of pods are answered by DNS, and proxies take them all",
	"discovery.k8s.io/EndpointSlice EndpointConditions.serving": "it is ready, but for endpoints that end; those are drained",
	"discovery.k8s.io/EndpointSlice EndpointPort.appProtocol":   ofServices, "discovery.k8s.io/EndpointSlice EndpointPort.protocol": ofServices,
	"discovery.k8s.io/EndpointSlice ObjectReference.apiVersion": ofPods, "discovery.k8s.io/EndpointSlice ObjectReference.fieldPath": ofPods, "discovery.k8s.io/EndpointSlice ObjectReference.namespace": ofPods,
	"discovery.k8s.io/EndpointSlice ObjectReference.resourceVersion": ofPods, "discovery.k8s.io/EndpointSlice ObjectReference.uid": ofPods,

	"gateway.networking.k8s.io/GatewayClass GatewayClassSpec.description": "it is for people",
	"gateway.networking.k8s.io/GatewayClass ParametersReference.group":    ofParameters, "gateway.networking.k8s.io/GatewayClass ParametersReference.kind": ofParameters,
	"gateway.networking.k8s.io/GatewayClass ParametersReference.name": ofParameters, "gateway.networking.k8s.io/GatewayClass ParametersReference.namespace": ofParameters,
	"gateway.networking.k8s.io/TCPRoute TCPRouteRule.name": ofNames, "gateway.networking.k8s.io/TLSRoute TLSRouteRule.name": ofNames,

	"networking.istio.io/Gateway Server.name":      ofNames,
	"networking.istio.io/Sidecar SidecarPort.name": ofNames,

	"networking.k8s.io/IngressClass IngressClassSpec.parameters": ofClasses, "networking.k8s.io/IngressClass IngressClassParametersReference.apiGroup": ofClasses,
	"networking.k8s.io/IngressClass IngressClassParametersReference.kind": ofClasses, "networking.k8s.io/IngressClass IngressClassParametersReference.name": ofClasses,
	"networking.k8s.io/IngressClass IngressClassParametersReference.namespace": ofClasses, "networking.k8s.io/IngressClass IngressClassParametersReference.scope": ofClasses,
}

const (
	ofNodes      = "it says how clients outside of the cluster come in, by nodes and load balancers, where no proxy is"
	ofFamilies   = "the addresses of the Service themselves are read"
	ofAffinity   = "sessionAffinity is told to do nothing, and this says more of it"
	ofHints      = "controllers write it by what the Service says, which is read itself"
	ofServices   = "the Service says it of its port"
	ofPods       = "a reference is to a Pod of its own namespace, which kind and name tell"
	ofParameters = "the class is not accepted whatever its parametersRef names, as its status tells"
	ofNames      = "it is a name for people"
	ofClasses    = "no parameters of a class mean anything to Istio's controller"
)
