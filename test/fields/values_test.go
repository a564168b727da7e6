package fields_test

import (
	"encoding/json"
	"reflect"
)

// keys are a JWKS with a public key that belongs to nobody.
const keys = `{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","use":"sig","e":"AQAB","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw"}]}`

// config is the mesh's configuration.
const config = `{"ingressSelector": "edge", "fairway": {"routeHold": "0s"}, "extensionProviders": [
{"name": "log", "envoyFileAccessLog": {"path": "/dev/stdout"}},
{"name": "otel", "opentelemetry": {"service": "api.shop.svc.cluster.local", "port": 80}},
{"name": "zipkin", "zipkin": {"service": "api.shop.svc.cluster.local", "port": 80}},
{"name": "prometheus", "prometheus": {}},
{"name": "authz", "envoyExtAuthzHttp": {"service": "api.shop.svc.cluster.local", "port": 80}},
{"name": "authz2", "envoyExtAuthzHttp": {"service": "web.shop.svc.cluster.local", "port": 80}}]}`

// alternatives are fields that exclude one another (oneof), by the one that is set.
var alternatives = func() map[string][]string {
	m := map[string][]string{}
	one := func(of string, names ...string) {
		for _, n := range names {
			for _, o := range names {
				if o != n {
					m[of+"."+n] = append(m[of+"."+n], o)
				}
			}
		}
	}
	one("StringMatch", "exact", "prefix", "regex")
	one("LoadBalancerSettings", "simple", "consistentHash", "backendUtilization")
	one("ConsistentHashLB", "httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
	one("ConsistentHashLB", "ringHash", "maglev")
	one("HTTPRoute", "redirect", "directResponse", "delegate", "route", "rewrite", "fault")
	one("HTTPRoute", "mirror", "mirrors")
	one("HTTPRedirect", "port", "derivePort")
	one("HTTPBody", "string", "bytes")
	one("Delay", "fixedDelay", "exponentialDelay")
	one("Abort", "httpStatus", "grpcStatus", "http2Error")
	one("ServiceEntry", "endpoints", "workloadSelector")
	one("JWTRule", "jwks", "jwksUri")
	one("CustomTag", "literal", "environment", "header", "formatter")
	one("Delay", "percent", "percentage")
	one("IngressBackend", "service", "resource")
	one("PortSelector", "number", "name")
	one("ExtensionProvider", "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "stackdriver", "opencensus", "skywalking", "opentelemetry", "prometheus",
		"envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls", "sds")
	one("Tracing", "zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent")
	one("LogFormat", "text", "labels")
	one("CertificateData", "pem", "spiffeBundleUrl")
	one("HttpHeader", "value", "envName")
	one("PrivateKeyProvider", "cryptomb", "qat")
	one("ProxyConfig", "serviceCluster", "tracingServiceName")
	delete(m, "HTTPRoute.rewrite")
	delete(m, "HTTPRoute.fault")
	for _, n := range []string{"AuthorizationPolicy", "RequestAuthentication", "Telemetry"} {
		one(n, "selector", "targetRef", "targetRefs")
	}
	return m
}()

// examples are valid objects of a type, or values of a field, in JSON.
var examples = map[string]string{
	"Destination": `{"host": "web", "port": {"number": 80}}`, "StringMatch": `{"exact": "v"}`, "PortSelector": `{"number": 80}`,
	"Abort": `{"httpStatus": 418, "percentage": {"value": 50}}`, "Delay": `{"fixedDelay": "7s", "percentage": {"value": 50}}`, "Percent": `{"value": 12.5}`,
	"HTTPRetry": `{"attempts": 3}`, "HTTPRewrite": `{"uri": "/x"}`, "RegexRewrite": `{"match": "/a(.*)", "rewrite": "/b"}`, "HTTPBody": `{"string": "x"}`,
	"Headers": `{"request": {"set": {"x-a": "v"}}}`, "HeaderOperations": `{"set": {"x-a": "v"}}`, "HTTPMirrorPolicy": `{"destination": {"host": "api"}}`,
	"PortTrafficPolicy": `{"port": {"number": 80}, "loadBalancer": {"simple": "RANDOM"}}`, "ConsistentHashLB": `{"httpHeaderName": "x"}`, "HTTPCookie": `{"name": "c", "ttl": "7s"}`,
	"Failover": `{"from": "r1", "to": "r3"}`, "Distribute": `{"from": "r1/*", "to": {"r1/*": 30, "r2/*": 70}}`, "WarmupConfiguration": `{"duration": "7s"}`, "ConnectionKeepalive": `{"interval": "7s", "timeout": "3s"}`,
	"TunnelSettings": `{"targetHost": "outside.example", "targetPort": 443, "protocol": "CONNECT"}`, "TCPSettings": `{"maxConnections": 3}`, "Attribute": `{"name": "SameSite", "value": "Lax"}`,
	"WorkloadSelector": `{"labels": {"app": "web"}}`, "SidecarPort": `{"number": 9000, "name": "tcp", "protocol": "TCP"}`, "IstioIngressListener.connectionPool": `{"http": {"http2MaxRequests": 3}}`,
	"Sidecar.inboundConnectionPool": `{"http": {"http2MaxRequests": 3}, "tcp": {"maxConnections": 3}}`, "OutboundTrafficPolicy.egressProxy": `{"host": "web.shop.svc.cluster.local", "port": {"number": 9000}}`,
	"ClientTLSSettings": `{"mode": "SIMPLE"}`, "ServiceEntry.subjectAltNames": `["a.example"]`, "WorkloadEntry.ports": `{"http": 8081}`, "WorkloadEntry.network": `"n"`,
	"PolicyTargetReference": `{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}`, "AuthorizationPolicy.selector": `{"matchLabels": {"app": "web"}}`,
	"RequestAuthentication.selector": `{"matchLabels": {"app": "web"}}`, "Telemetry.selector": `{"matchLabels": {"app": "web"}}`, "JWTHeader": `{"name": "x"}`, "JWTRule.jwksUri": `"https://outside.example/keys"`,
	"HttpHeader": `{"name": "x", "value": "v"}`, "MeshConfig.inboundTrafficPolicy": `{"mode": "LOCALHOST"}`, "MeshConfig.pathNormalization": `{"normalization": "MERGE_SLASHES"}`, "ProxyConfig.gatewayTopology": `{"numTrustedProxies": 2}`,
	"MeshConfig.localityLbSetting": `{"distribute": [{"from": "r1/*", "to": {"r1/*": 30, "r2/*": 70}}]}`, "MeshConfig.discoverySelectors": `[{"matchLabels": {"team": "shop"}}]`, "Literal": `{"value": "v"}`, "HttpService": `{"path": "/v"}`, "Tracing.customTags": `{"x": {"literal": {"value": "v"}}}`,
	"EnvoyExternalAuthorizationHttpProvider.statusOnError": `"503"`, "EnvoyExternalAuthorizationGrpcProvider.statusOnError": `"503"`, "MeshConfig.defaultDestinationRuleExportTo": `["."]`, "MeshConfig.rootNamespace": `"other"`, "MeshConfig.ingressService": `"edge"`,
	"LogSelector": `{"mode": "CLIENT"}`, "RingHash": `{"minimumRingSize": 2000}`, "ConnectionPoolSettings": `{"tcp": {"maxConnections": 3}}`, "LocalityLoadBalancerSetting": `{"failover": [{"from": "r1", "to": "r3"}]}`, "GatewaySpec.tls": `{"frontend": {"default": {}}}`, "GatewaySpec.allowedListeners": `{"namespaces": {"from": "All"}}`, "GatewaySpec.defaultScope": `"All"`, "TracingSelector": `{"mode": "CLIENT"}`, "Environment": `{"name": "A"}`, "RequestHeader": `{"name": "a"}`, "TLSCertificate": `{"serverCertificate": "/c", "privateKey": "/k"}`,
	"ServicePort.protocol": `"UDP"`, "ServiceSpec.internalTrafficPolicy": `"Local"`, "ServiceSpec.trafficDistribution": `"PreferClose"`, "SessionAffinityConfig": `{"clientIP": {"timeoutSeconds": 7}}`, "ServiceSpec.sessionAffinity": `"ClientIP"`,
	"EndpointSlice.addressType": `"FQDN"`, "Endpoint.targetRef": `{"kind": "Pod", "name": "host-2", "namespace": "shop"}`, "Endpoint.nodeName": `"n2"`, "Endpoint.conditions": `{"ready": false}`,
	"EndpointHints": `{"forZones": [{"name": "z2"}]}`, "EndpointPort.name": `"other"`, "IngressBackend.resource": `{"apiGroup": "a.example", "kind": "Bucket", "name": "b"}`, "IngressClassSpec.parameters": `{"kind": "P", "name": "p"}`,
	"Listener.allowedRoutes": `{"namespaces": {"from": "All"}}`, "ListenerNamespaces": `{"from": "All"}`, "RouteNamespaces": `{"from": "All"}`, "RouteNamespaces.selector": `{"matchLabels": {"team": "other"}}`,
	"FrontendTLSConfig.perPort": `[{"port": 443, "tls": {"validation": {"caCertificateRefs": [{"group": "", "kind": "Secret", "name": "cert"}]}}}]`, "TLSConfig": `{"validation": {"caCertificateRefs": [{"group": "", "kind": "Secret", "name": "cert"}]}}`,
	"FrontendTLSValidation": `{"caCertificateRefs": [{"group": "", "kind": "Secret", "name": "cert"}]}`, "ObjectReference": `{"group": "", "kind": "ConfigMap", "name": "a"}`,
	"GatewayInfrastructure": `{"labels": {"a": "b"}}`, "LocalParametersReference": `{"group": "", "kind": "ConfigMap", "name": "a"}`, "ParametersReference": `{"group": "", "kind": "ConfigMap", "name": "a", "namespace": "shop"}`,
	"HTTPRequestMirrorFilter": `{"backendRef": {"name": "web", "port": 80}}`, "Fraction": `{"numerator": 1, "denominator": 7}`, "LocalObjectReference": `{"group": "a.example", "kind": "A", "name": "a"}`,
	"SessionPersistence": `{"type": "Cookie", "sessionName": "s"}`, "HTTPHeaderMatch": `{"name": "a", "value": "b"}`, "GRPCHeaderMatch": `{"name": "a", "value": "b"}`, "HTTPQueryParamMatch": `{"name": "a", "value": "b"}`,
	"HTTPHeader": `{"name": "a", "value": "b"}`, "HTTPHeaderFilter": `{"set": [{"name": "a", "value": "b"}]}`, "HTTPPathModifier": `{"type": "ReplaceFullPath", "replaceFullPath": "/x"}`,
	"HTTPRouteTimeouts": `{"request": "7s", "backendRequest": "3s"}`, "HTTPRouteRetry": `{"attempts": 2}`, "HTTPCORSFilter": `{"allowOrigins": ["https://a.example"]}`,
	"HTTPExternalAuthFilter": `{"protocol": "HTTP", "backendRef": {"name": "web", "port": 80}}`, "CookieConfig": `{"lifetimeType": "Permanent"}`, "RouteGroupKind": `{"kind": "HTTPRoute"}`,
	"LabelSelectorRequirement": `{"key": "team", "operator": "NotIn", "values": ["other"]}`,
}

// companions are fields beside a field without which it is not valid, by its type and name.
// The field is compared with what they do without it.
var companions = map[string]string{
	"ServerTLSSettings.serverCertificate": `{"privateKey": "/k"}`, "ServerTLSSettings.privateKey": `{"serverCertificate": "/c"}`,
	"ClientTLSSettings.clientCertificate": `{"mode": "MUTUAL", "privateKey": "/k"}`, "ClientTLSSettings.privateKey": `{"mode": "MUTUAL", "clientCertificate": "/c"}`,
	"HTTPRouteFilter.extensionRef": `{"type": "ExtensionRef"}`, "GRPCRouteFilter.extensionRef": `{"type": "ExtensionRef"}`, "HTTPRouteFilter.externalAuth": `{"type": "ExternalAuth"}`,
	"RouteNamespaces.selector": `{"from": "Selector"}`,
}

// texts are what a field of text may hold, by its type and name or by its name.
var texts = map[string][]string{
	"RouteGroupKind.kind": {"HTTPRoute", "TLSRoute", "TCPRoute"},
	"host":                {"web", "far.other.svc.cluster.local"},
}

func parsed(text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(text + ": " + err.Error())
	}
	return v
}

// example is a value of the shape for a field that has none.
func example(of *shape, key string) any {
	if text, ok := examples[key]; ok {
		return parsed(text)
	}
	if text, ok := examples[of.of]; ok && of.kind == reflect.Struct {
		return parsed(text)
	}
	switch of.kind {
	case reflect.Struct:
		return map[string]any{}
	case reflect.Slice:
		return []any{example(of.elem(), key+"[]")}
	case reflect.Map:
		return map[string]any{"x": example(of.elem(), key+"[]")}
	}
	return candidates(of, key)[0]
}

// candidates are the values that are tried for a field.
func candidates(of *shape, key string) (out []any) {
	if text, ok := examples[key]; ok {
		out = append(out, parsed(text))
	}
	switch of.kind {
	case reflect.Struct:
		return append(out, example(of, key))
	case reflect.Slice, reflect.Map:
		for _, v := range candidates(of.elem(), key+"[]") {
			if of.kind == reflect.Slice {
				out = append(out, []any{v})
			} else {
				out = append(out, map[string]any{"x": v})
			}
		}
		return out
	case reflect.Bool:
		return append(out, true, false)
	case reflect.Float64:
		return append(out, 12.5, 50.0)
	case reflect.Int:
		return append(out, numbersOf(key)...)
	}
	for _, e := range of.enum {
		out = append(out, e)
	}
	if len(of.enum) > 0 {
		return out
	}
	return append(out, textsOf(of, key)...)
}

func numbersOf(key string) (out []any) {
	for _, n := range []int{7, 80, 443, 9000, 200, 503, 1, 2000} {
		out = append(out, n)
	}
	return out
}

func textsOf(of *shape, key string) (out []any) {
	name := key[lastDot(key)+1:]
	for len(name) > 2 && name[len(name)-2:] == "[]" {
		name = name[:len(name)-2]
	}
	for _, k := range []string{key, of.of, name} {
		for _, v := range texts[k] {
			out = append(out, v)
		}
		if len(out) > 0 {
			break
		}
	}
	switch of.of {
	case "Duration":
		return append(out, "7s", "3s", "100ms")
	case "bytes":
		return append(out, "YQ==")
	}
	return append(out, "v", "web", "10.0.0.0/8", "HTTP", "https://a.example/x")
}

func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return i
		}
	}
	return -1
}
