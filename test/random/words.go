package random

import (
	"slices"
	"strings"
)

// Words are the names of one mesh: what objects call each other by.
type Words struct {
	Hosts      []string
	Namespaces []string
	Names      []string // of objects
	Gateways   []string // as VirtualServices name them
	Subsets    []string
	Secrets    []string // as credentialName names them
	Providers  []string
	Keys       []string // of labels
	Values     []string // of labels
}

// DefaultWords are those of a mesh of two namespaces with few names.
func DefaultWords() Words {
	return Words{
		Hosts: []string{"web", "api", "db", "web.a.svc.cluster.local", "api.b.svc.cluster.local", "db.a.svc.cluster.local", "web.b", "ext.example.com", "one.example.com",
			"*.example.com", "*.b.svc.cluster.local", "10.77.0.1"},
		Namespaces: []string{"a", "b", "istio-system"},
		Names:      []string{"web", "api", "db"},
		Gateways:   []string{"mesh", "a/web", "web", "api", "istio-system/db", "b/api"},
		Subsets:    []string{"v1", "v2"},
		Secrets:    []string{"web", "api", "missing", "kubernetes://web", "web-cacert", "builtin://"},
		Providers:  []string{"log", "otel", "als", "zipkin", "prometheus", "envoy", "authz", "authz-grpc", "missing"},
		Keys:       []string{"app", "version", "istio", "topology.istio.io/network"},
		Values:     []string{"web", "api", "db", "v1", "v2", "ingressgateway"},
	}
}

// awkward are texts that any field may hold, well and badly.
var awkward = []string{
	"", " ", "/", "*", ".", "..", "-", "a b", "a\nb", "A", "é", "\x00", "%", "%%", "%REQ(x)%", "%NOPE%", "%START_TIME(%s)%", "100%", `\1`, `\9`, `\`, "(", "a(", "[", "{", "}", "*.", ".*", "**", "*.*",
	"~", "./", "/*", "a/b/c", "0", "-1", "65536", "::", "::1", "256.1.1.1", "10.0.0.0/8", "10.0.0.0/33", "0.0.0.0/0", "=", "a=b", ",", "a,b", ":authority", ":path", "host", "x-envoy-a", "Content-Length",
	"@request.auth.claims.a", "@request.auth.claims[", strings.Repeat("a", 300), strings.Repeat("ab.", 90) + "c", "a.example:443", "[::1]:80", "null", "{}", "xn--a", "_http._tcp", "a.b.svc.cluster.local.",
	"%DOWNSTREAM_PEER_SUBJECT%", "%CEL(request.host)%", "%FILTER_STATE(a:PLAIN)%", "%DYNAMIC_METADATA([])%", "mesh", "default", "ROOTCA", "BlackHoleCluster", "PassthroughCluster", "virtualInbound",
}

// fieldWords says which words the string fields of a name hold. A key is a
// field's name, or that of its message before it when the message decides.
// What is not named here holds plain words.
var fieldWords = func() map[string][]string {
	m := map[string][]string{}
	set := func(words []string, fields ...string) {
		for _, f := range fields {
			m[f] = words
		}
	}
	set([]string{"http", "http-web", "tcp", "grpc", "https", "tls", "data", "mongo-db"}, "Port.name", "ServicePort.name", "SidecarPort.name")
	set([]string{"HTTP", "HTTP", "HTTP2", "GRPC", "HTTPS", "TCP", "TLS", "MONGO", "REDIS", "UDP", "http", "HTTP_PROXY", "nonsense", "HTTP/3", "GRPC-WEB", "MYSQL"}, "protocol")
	set([]string{"CONNECT", "POST", "GET", ""}, "TunnelSettings.protocol")
	set([]string{".", "*", "~", "a", "b", "calm"}, "export_to")
	set([]string{"r1", "r1/z1", "r1/z1/s1", "r1/*", "*", "r2", "r2/z1", ""}, "locality", "from", "to", "key:to")
	set([]string{"version", "version=v1", "topology.kubernetes.io/region", "topology.istio.io/network", "kubernetes.io/hostname", "="}, "failover_priority")
	set([]string{"5xx", "gateway-error,503", "connect-failure,refused-stream", "retriable-4xx", "UNAVAILABLE,cancelled", "reset, 500", "nonsense", "", "retriable-headers"}, "retry_on")
	set([]string{"UNAVAILABLE", "14", "99", "ABORTED", "nonsense"}, "grpc_status")
	set([]string{"REFUSED_STREAM"}, "http2_error")
	set([]string{".*", "/api/.*", "[a-z]+", "a(b|c)", "^x$", "(a", `\pN+`, "(?i)x", "(a{1,900}){1,900}", "/(x)/(y)", "*", "v1|v2"}, "regex", "RegexRewrite.match")
	set([]string{`\1`, `/x/\2`, "/", `\0\0`, `\9`, "x"}, "rewrite")
	set([]string{"/", "/api", "/api/", "GET", "v1", "x", "https", "web.a.svc.cluster.local", "/a?b=c", "/a#b"}, "exact", "prefix", "uri", "path", "prefix_rewrite")
	set([]string{"https", "http", "ftp", ""}, "scheme")
	set([]string{"x-a", "X-B", "cookie", ":authority", "host", "content-length", ":path", "user-agent", "end-user"}, "http_header_name", "key:set", "key:add", "remove", "key:headers", "key:without_headers",
		"allow_headers", "expose_headers", "header", "JWTHeader.name", "output_payload_to_header", "RequestHeader.name", "HTTPHeader.name")
	set([]string{"q", "x-a", "token"}, "key:query_params", "http_query_parameter_name", "from_params", "from_cookies", "HTTPCookie.name", "Attribute.name")
	set([]string{"v", "%REQ(x-a)%", "%DOWNSTREAM_REMOTE_ADDRESS%", "100%", "%%", "a, b", "%START_TIME%", ""}, "set", "add", "Literal.value", "Formatter.value", "Attribute.value")
	set([]string{"GET", "POST", "OPTIONS", "*", "get", "PURGE"}, "allow_methods", "methods", "not_methods")
	set([]string{"*", "https://a.example", "http://*.example.com"}, "allow_origin")
	set([]string{"10.77.0.1", "10.96.0.1", "10.88.0.0/16", "fd00::1", "10.77.0.1/32", "0.0.0.0/0", "10.96.0.3"}, "addresses")
	set([]string{"192.0.2.1", "192.0.2.2", "10.0.0.1", "ext.example.com", "unix:///var/run/x.sock", "fd00::9", ""}, "address", "WorkloadEntry.address")
	set([]string{"", "0.0.0.0", "127.0.0.1", "unix:///tmp/x", "::"}, "bind")
	set([]string{"127.0.0.1:8080", "0.0.0.0:9090", "unix:///tmp/app", "[::1]:8080", "127.0.0.1", "nonsense"}, "default_endpoint")
	// Files are those of the proxy: one that is not there is a certain refusal that nobody can see from here.
	set([]string{""}, "server_certificate", "private_key", "ca_certificates", "client_certificate", "ca_crl")
	set([]string{"ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-SHA", "nonsense", "ECDHE-RSA-AES256-GCM-SHA384", "TLS_AES_128_GCM_SHA256"}, "cipher_suites")
	set([]string{strings.Repeat("ab", 32), strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), "nonsense"}, "verify_certificate_hash")
	set([]string{"NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=", "nonsense"}, "verify_certificate_spki")
	set([]string{"spiffe://cluster.local/ns/a/sa/x", "a.example", "*.example.com", "spiffe://x/*"}, "subject_alt_names")
	set([]string{"cluster.local/ns/a/sa/x", "*", "*/sa/x", "cluster.local/*", "cluster.local/ns/b/sa/default", "nonsense"}, "principals", "not_principals")
	set([]string{"issuer.example/*", "*", "*/sub", "issuer.example/sub"}, "request_principals", "not_request_principals")
	set([]string{"a/x", "x", "b/default", "*/x", "a/*"}, "service_accounts", "not_service_accounts", "service_account")
	set([]string{"cluster.local", "*.local", "td.example"}, "trust_domains", "not_trust_domains")
	set([]string{"10.0.0.0/8", "192.0.2.1", "fd00::/8", "10.0.0.0/33", "0.0.0.0/0", "10.77.0.1"}, "ip_blocks", "not_ip_blocks", "remote_ip_blocks", "not_remote_ip_blocks", "destination_subnets", "source_subnet")
	set([]string{"80", "8080", "443", "0", "99999", "http"}, "ports", "not_ports")
	set([]string{"/a", "/a*", "*/b", "*", "/{*}/x", "/x/{**}", "/{**}/{*}", "/{*"}, "paths", "not_paths")
	set([]string{"request.headers[x-a]", "source.ip", "remote.ip", "source.namespace", "source.principal", "request.auth.principal", "request.auth.audiences", "request.auth.claims[a][b]",
		"destination.ip", "destination.port", "connection.sni", "request.headers[]", "experimental.envoy.filters.a[b]", "nonsense", "source.serviceAccount"}, "Condition.key")
	set([]string{"10.0.0.0/8", "a", "*", "v*", "*v", "8080", "web.a.svc.cluster.local", "cluster.local/ns/a/sa/x", ""}, "values", "not_values")
	set([]string{"issuer.example", "https://issuer.example"}, "issuer")
	set([]string{"https://ext.example.com/keys", "http://web.a.svc.cluster.local:81/keys", "https://issuer.example", "nonsense", "ftp://x", "http://[::1]:99/x", ""}, "jwks_uri")
	set([]string{keySet, `{"keys":[]}`, "nonsense", ""}, "jwks")
	set([]string{"aud", "web.a.svc.cluster.local"}, "audiences")
	set([]string{"response.code >= 400", "request.host == 'a'", "broken(", "has(request.headers['x'])", "1 + 1", "true"}, "expression", "TagOverride.value")
	set([]string{"authz", "authz-grpc", "missing"}, "ExtensionProvider.name")
	set([]string{"r", "r1", "r2", ""}, "HTTPRoute.name", "HTTPMatchRequest.name", "stat_prefix")
	set([]string{"body", `{"a": 1}`, "%REQ(x)%", strings.Repeat("x", 5000)}, "string")
	set([]string{"", "network-1", "network-2"}, "network")
	return m
}()

// keySet is a JWKS with a public key that belongs to nobody.
const keySet = `{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","use":"sig","e":"AQAB","n":"` +
	`u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw"}]}`

// of are the words that a field may hold: field of the message, and whether it
// is the key of a map.
func (w *Words) of(message, field string, key bool) []string {
	switch field {
	case "host", "sni", "sni_hosts", "authority", "target_host", "hostname", "hostnames":
		return w.Hosts
	case "hosts", "not_hosts":
		if message == "Server" || message == "IstioEgressListener" {
			return slices.Concat(w.Hosts, []string{"*", "*/*", "./*", "a/*", "b/*", "~/*", "./web.a.svc.cluster.local", "b/api.b.svc.cluster.local", "*/ext.example.com"})
		}
		return w.Hosts
	case "gateways":
		return w.Gateways
	case "namespace", "namespaces", "not_namespaces", "source_namespace":
		return w.Namespaces
	case "subset":
		return append(slices.Clone(w.Subsets), "", "v9")
	case "credential_name", "credential_names", "ca_cert_credential_name":
		return append(slices.Clone(w.Secrets), "")
	case "labels", "match_labels", "selector", "source_labels":
		if key {
			return w.Keys
		}
		return w.Values
	case "name":
		switch message {
		case "Subset":
			return w.Subsets
		case "ProviderRef":
			return w.Providers
		}
	}
	if key {
		field = "key:" + field
	}
	if l, ok := fieldWords[message+"."+field]; ok {
		return l
	}
	if l, ok := fieldWords[field]; ok {
		return l
	}
	return w.Names
}
