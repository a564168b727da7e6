package random_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// gatewayNames are the hosts that requests to the gateway are for.
var gatewayNames = []string{"one.example", "x.one.example", "two.example", "other.test"}

// gateways draws Gateways of one router with rules and policies for it.
func (d *drawn) gateways() {
	host := func() string {
		return of(d, "", "", "./", "*/", "shop/", "other/") + of(d, "one.example", "two.example", "*.example", "*.one.example", "*")
	}
	hosts := func() string {
		a, b := host(), host()
		if _, x, _ := strings.Cut(a, "/"); d.One(3) && !strings.Contains(b, "*") && !strings.Contains(x+a, "*") && a != b {
			return "'" + a + "', '" + b + "'"
		}
		return "'" + a + "'"
	}
	n := 1 + d.N(3)
	for i := range n {
		var servers []string
		for j := range 1 + d.N(3) {
			name := fmt.Sprintf("p%d-%d", i, j)
			servers = append(servers, of(d,
				"{port: {number: 80, name: http-"+name+", protocol: HTTP}, hosts: ["+hosts()+"]}",
				"{port: {number: 80, name: http-"+name+", protocol: HTTP}, hosts: ["+hosts()+"]}",
				"{port: {number: 8080, name: grpc-"+name+", protocol: "+of(d, "HTTP2", "GRPC", "HTTP")+"}, hosts: ["+hosts()+"]}",
				"{port: {number: 80, name: http-"+name+", protocol: HTTP}, hosts: ["+hosts()+"], tls: {httpsRedirect: true}}",
				"{port: {number: 443, name: https-"+name+", protocol: HTTPS}, hosts: ["+hosts()+"], tls: {mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem}}",
				"{port: {number: 443, name: tls-"+name+", protocol: "+of(d, "TLS", "HTTPS")+"}, hosts: ["+hosts()+"], tls: {mode: PASSTHROUGH}}",
				"{port: {number: 9443, name: tls-"+name+", protocol: TLS}, hosts: ["+hosts()+"], tls: {mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem}}",
				"{port: {number: 9000, name: tcp-"+name+", protocol: TCP}, hosts: ["+hosts()+"]}",
			))
		}
		d.add("Gateway", fmt.Sprintf("g%d", i), of(d, "shop", "shop", "other"), "{selector: {app: gateway}, servers: ["+strings.Join(servers, ", ")+"]}")
	}
	gateway := func() string { return fmt.Sprintf("%s/g%d", of(d, "shop", "shop", "other"), d.N(n)) }
	for i := range 1 + d.N(4) {
		host := of(d, "one.example", "x.one.example", "two.example", "*.example", "*")
		spec := "http: ["
		for range d.N(3) {
			spec += "{match: [" + d.match() + "], " + d.action() + "}, "
		}
		spec += "{" + d.action() + "}]"
		switch d.N(6) {
		case 0:
			spec += fmt.Sprintf(", tls: [{match: [{sniHosts: ['%s']}], route: [{destination: {host: %s, port: {number: 443}}}]}]", host, of(d, peerHosts...))
		case 1:
			spec = fmt.Sprintf("tcp: [{match: [{port: %d}], route: [{destination: {host: %s, port: {number: 9000}}}]}]", []int{9000, 9443}[d.N(2)], of(d, peerHosts[3:]...))
		}
		gateways := gateway()
		if second := gateway(); d.One(3) && second != gateways {
			gateways += ", " + second
		}
		d.add("VirtualService", fmt.Sprintf("w%d", i), of(d, "shop", "other"), fmt.Sprintf("{hosts: ['%s'], gateways: [%s], %s%s}", host, gateways, spec, d.exportTo()))
	}
	for i := range d.N(3) {
		d.authorization(i)
	}
}

// match is one that looks at more than the path.
func (d *drawn) match() string {
	return of(d, "{uri: {prefix: /a}}", "{uri: {exact: /}}", "{uri: {prefix: /A}, ignoreUriCase: true}", "{uri: {regex: '/a.*'}}", "{headers: {x-a: {exact: b}}}", "{headers: {x-a: {}}}", "{withoutHeaders: {x-a: {}}}",
		"{withoutHeaders: {x-a: {exact: b}}}", "{headers: {x-a: {prefix: b}}, uri: {prefix: /}}", "{method: {exact: GET}}", "{method: {regex: 'P.*'}}", "{queryParams: {q: {exact: a}}}", "{queryParams: {q: {regex: 'a.*'}}}",
		"{queryParams: {q: {prefix: a}}}", "{scheme: {exact: https}}", "{port: 80}", "{authority: {exact: one.example}}", "{authority: {prefix: x}}", "{gateways: [shop/g0]}", "{sourceNamespace: shop}", "{sourceLabels: {app: gateway}}")
}

// action is what a rule does: where requests go, and what happens on the way.
func (d *drawn) action() string {
	switch d.N(12) {
	case 0:
		return "redirect: {" + strings.Join([]string{of(d, "uri: /b", "authority: else.example", "uri: /b, authority: 'else.example:81'", "uri: '%PREFIX()%/b'"), of(d, "redirectCode: 302", "redirectCode: 308", "scheme: https", "port: 8443", "derivePort: FROM_REQUEST_PORT", "derivePort: FROM_PROTOCOL_DEFAULT")}, ", ") + "}"
	case 1:
		return "directResponse: {status: " + of(d, "200", "418", "503") + of(d, "", ", body: {string: hello}") + "}"
	}
	out := d.route()
	for _, more := range []string{
		of(d, "rewrite: {uri: /b}", "rewrite: {uri: /}", "rewrite: {authority: else.example}", "rewrite: {uri: /b, authority: else.example}", "rewrite: {uriRegexRewrite: {match: '^/a(.*)', rewrite: '/c\\1'}}"),
		"timeout: " + of(d, "1s", "2.5s"),
		"retries: {" + of(d, "attempts: 0", "attempts: 3", "attempts: 2, perTryTimeout: 1s", "attempts: 2, retryOn: 'gateway-error,503,reset'", "attempts: 2, backoff: 2s", "attempts: 1, retryRemoteLocalities: true", "attempts: 2, retryOn: 'connect-failure,retriable-headers', retryIgnorePreviousHosts: false") + "}",
		"mirror: {host: " + of(d, peerHosts...) + of(d, "", ", subset: v1") + ", port: {number: 80}}" + of(d, "", ", mirrorPercentage: {value: 12.5}", ", mirrorPercentage: {value: 0}"),
		"mirrors: [{destination: {host: " + of(d, peerHosts...) + ", port: {number: 80}}, percentage: {value: 50}}, {destination: {host: " + of(d, peerHosts...) + ", port: {number: 80}}}]",
		"fault: {" + of(d, "delay: {fixedDelay: 1s, percentage: {value: 50}}", "abort: {httpStatus: 418, percentage: {value: 0.1}}", "abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}", "delay: {fixedDelay: 1s}, abort: {httpStatus: 500}", "abort: {httpStatus: 500, percentage: {value: 0}}") + "}",
		"corsPolicy: {" + of(d, "allowOrigins: [{exact: 'https://a.example'}], allowMethods: [GET, POST], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 2m, allowCredentials: true", "allowOrigins: [{regex: '.*'}, {prefix: 'https://'}], unmatchedPreflights: IGNORE", "allowOrigins: [{exact: '*'}], allowCredentials: false", "allowOrigin: ['*']") + "}",
		"headers: {" + of(d, "request: {set: {x-a: c}, add: {x-c: '%REQ(x-a)%'}, remove: [x-d]}", "response: {set: {x-e: f}, remove: [server]}", "request: {set: {host: else.example}}", "request: {add: {':authority': else.example}}") + "}",
	} {
		again := strings.HasPrefix(more, "mirror") && strings.Contains(out, "mirror") || strings.Contains(more, "else.example") && strings.Contains(out, "else.example")
		if d.One(5) && !again { // the peer refuses both
			out += ", " + more
		}
	}
	return out
}

// authorization is a policy for the gateway's pods.
func (d *drawn) authorization(i int) {
	source := func() string {
		return of(d, "ipBlocks: [10.0.0.0/8]", "ipBlocks: ['203.0.113.9', '2001:db8::/32']", "notIpBlocks: [203.0.113.0/24]", "remoteIpBlocks: [203.0.113.0/24]", "notRemoteIpBlocks: [198.51.100.1/32]", "namespaces: [shop]", "notNamespaces: [shop]", "principals: ['*']", "notPrincipals: ['cluster.local/ns/shop/sa/*']")
	}
	operation := func() string {
		return of(d, "paths: [/a, '/b*']", "paths: ['*/z']", "notPaths: ['/a*']", "methods: [GET]", "notMethods: [GET, HEAD]", "hosts: [one.example, 'two.example:*']", "hosts: ['*.example']", "notHosts: ['ONE.example']", "ports: ['80']", "notPorts: ['80', '443']", "paths: ['/{*}/z', '/a/{**}']")
	}
	when := func() string {
		return of(d, "{key: 'request.headers[x-a]', values: [b]}", "{key: 'request.headers[x-a]', notValues: ['b*']}", "{key: 'request.headers[x-a]', values: ['*']}", "{key: source.ip, values: [203.0.113.9]}", "{key: remote.ip, notValues: [203.0.113.0/24]}", "{key: destination.port, values: ['80']}",
			"{key: connection.sni, values: ['*.example']}", "{key: source.namespace, notValues: [shop]}", "{key: destination.ip, values: [10.0.0.3]}")
	}
	var rules []string
	for range 1 + d.N(2) {
		var parts []string
		if d.One(2) {
			parts = append(parts, "from: [{source: {"+source()+"}}]")
		}
		if d.One(2) {
			parts = append(parts, "to: [{operation: {"+operation()+"}}, {operation: {"+operation()+"}}]")
		}
		if d.One(2) || len(parts) == 0 {
			parts = append(parts, "when: ["+when()+"]")
		}
		rules = append(rules, "{"+strings.Join(parts, ", ")+"}")
	}
	d.add("AuthorizationPolicy", fmt.Sprintf("p%d", i), "shop", fmt.Sprintf("{selector: {matchLabels: {app: gateway}}, action: %s, rules: [%s]}", of(d, "ALLOW", "DENY", "DENY"), strings.Join(rules, ", ")))
}

// gatewayCalls are what clients ask of the gateway.
func gatewayCalls() (out []explain.Request) {
	add := func(method, url string, headers map[string][]string) {
		r, err := explain.NewRequest(method, url, headers)
		if err != nil {
			panic(err) // they are written here
		}
		r.Destination, r.Source = mustAddr("10.0.0.3"), mustAddr("203.0.113.9")
		out = append(out, r)
	}
	for _, host := range gatewayNames {
		for _, url := range []string{"http://" + host, "http://" + host + ":8080", "https://" + host} {
			add("GET", url+"/", nil)
			add("GET", url+"/a/z?q=ab", map[string][]string{"X-A": {"b"}})
			add("POST", url+"/b", map[string][]string{"X-A": {"c"}})
			add("PUT", url+"/A", nil)
		}
		add("GET", "https://"+host+":9443/", nil)
	}
	add("GET", "tcp://10.0.0.3:9000", nil)
	return out
}

// callsOf are the calls that are followed through a proxy.
func callsOf(c snapshot.Client) []explain.Request {
	if c.Role == snapshot.RoleRouter {
		return gatewayCalls()
	}
	return peerCalls()
}

// patternKeeps tells whether no service has a host, and some service below a pattern of a
// rule for it has the port.
func (d *drawn) patternKeeps(host string, port uint32) bool {
	if slices.ContainsFunc(d.objects, func(o string) bool {
		return strings.Contains(o, "kind: ServiceEntry") && strings.Contains(o, "hosts: ['"+host+"']")
	}) {
		return false
	}
	for _, pattern := range peerWilds {
		if object.HostMatches(pattern, host) && slices.ContainsFunc(d.objects, func(o string) bool {
			return strings.Contains(o, "kind: VirtualService") && strings.Contains(o, "'"+pattern+"'")
		}) {
			for _, o := range d.objects {
				_, name, _ := strings.Cut(o, "hosts: ['")
				name, _, _ = strings.Cut(name, "'")
				if strings.Contains(o, "kind: ServiceEntry") && strings.Contains(o, fmt.Sprintf("{number: %d, ", port)) && object.HostMatches(pattern, name) {
					return true
				}
			}
		}
	}
	return false
}

// explainedAtGateway names the difference of docs/differences.md that a call to the
// gateway shows; "": none.
func explainedAtGateway(d *drawn, call explain.Request, here, there string) string {
	gateways := func(words string) bool {
		return slices.ContainsFunc(d.objects, func(o string) bool { return strings.Contains(o, "kind: Gateway") && strings.Contains(o, words) })
	}
	switch {
	case here == "answered 404 100" && there == "answered 301 100" && redirectsOfAnother(d.objects):
		return "a newer Gateway redirects no host of an older one of another namespace (80)"
	case here == "answered 301 100" && gateways("httpsRedirect") && slices.ContainsFunc(d.objects, namesNamespaces):
		return "a server that names a namespace beside its hosts redirects them to https without any rule, too (83)"
	case call.Scheme == "https" && here == "refused" && gateways("PASSTHROUGH"):
		return "names of TLS servers without routes stay theirs (74, 80)"
	}
	return ""
}

// namespacedHost is a host of a server with the namespace whose rules it takes.
var namespacedHost = regexp.MustCompile(`hosts: \[[^]]*'[^'/]+/`)

func namesNamespaces(o string) bool {
	return strings.Contains(o, "kind: Gateway") && namespacedHost.MatchString(o)
}

// redirectsOfAnother tells whether a Gateway redirects to https and one before it, of another
// namespace, has a server that does not. They are drawn in the order of their age.
func redirectsOfAnother(objects []string) bool {
	older := ""
	for _, o := range objects {
		if !strings.Contains(o, "kind: Gateway") {
			continue
		}
		_, namespace, _ := strings.Cut(o, "namespace: ")
		namespace, _, _ = strings.Cut(namespace, ",")
		redirects := strings.Count(o, "httpsRedirect")
		if redirects > 0 && older != "" && older != namespace {
			return true
		}
		if redirects < strings.Count(o, "protocol: HTTP}") {
			older = namespace
		}
	}
	return false
}
