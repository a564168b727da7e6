package traffic

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Gateway is a Gateway of networking.istio.io, or what is made of one of the
// Gateway API or of an Ingress. It never changes.
type Gateway struct {
	Ref       object.Ref
	Name      string // "namespace/name", as VirtualServices are bound to it
	Namespace string
	Created   time.Time
	Selector  map[string]string // of gateway pods; empty: every gateway pod
	// Pods are, in place of Selector, those of a Gateway of the Gateway API.
	Pods    []PodSelector
	Servers []*Server
	// Certificate is what its pods show to servers, as far as all their Gateways of the
	// Gateway API name the same (mesh.View.ClientCertificate).
	Certificate ClientCertificate
}

// OfAPI tells whether the Gateway is made of one of the Gateway API, or of a ListenerSet.
func (g *Gateway) OfAPI() bool {
	return g.Ref.Kind == object.KindKubeGateway || g.Ref.Kind == object.KindListenerSet
}

// Selects tells whether the Gateway is served by a gateway pod.
func (g *Gateway) Selects(namespace string, labels map[string]string) bool {
	if g.OfAPI() {
		return slices.ContainsFunc(g.Pods, func(p PodSelector) bool { return p.Namespace == namespace && object.Selects(p.Labels, labels) })
	}
	return object.Selects(g.Selector, labels)
}

// Server is one server of a Gateway.
type Server struct {
	Gateway  *Gateway
	Index    int // in spec.servers
	Spec     *networking.Server
	Number   uint32 // spec.servers[].port.number
	Protocol object.Protocol
	Hosts    []GatewayHost
	// Listener is the name of the listener that the server is made of; only with a
	// Gateway of the Gateway API. Bound are the routes on it, only of one that is
	// no Gateway of networking.istio.io.
	Listener string
	Bound    []Bound
	// ClientRoots are the authorities of clients; nil where Spec says where they are. Only
	// of a listener.
	ClientRoots *object.Authorities

	owners HostOwners // whose hosts are whose, where the mesh gives them to namespaces
}

// RedirectsToTLS tells whether requests in plain HTTP are sent to https.
func (s *Server) RedirectsToTLS() bool { return s.Plain() && s.Spec.Tls.GetHttpsRedirect() }

// Field is the path of the server in its object.
func (s *Server) Field() string {
	if s.Gateway.OfAPI() {
		return fmt.Sprintf("spec.listeners[%d]", s.Index)
	}
	if s.Gateway.Ref.Kind == object.KindIngress {
		if s.Index < 0 {
			return "spec.rules"
		}
		return fmt.Sprintf("spec.tls[%d]", s.Index)
	}
	return fmt.Sprintf("spec.servers[%d]", s.Index)
}

// FieldOf is the path of a field of the server in its object, given as a Gateway
// of networking.istio.io has it; "" is the server itself.
func (s *Server) FieldOf(field string) string {
	switch {
	case field == "" || s.Gateway.Ref.Kind == object.KindIngress: // it has no such fields
		return s.Field()
	case s.Gateway.OfAPI() && listenerFields[field] != "":
		field = listenerFields[field]
	}
	return s.Field() + "." + field
}

// listenerFields are what listeners of the Gateway API call fields of servers.
var listenerFields = map[string]string{"hosts": "hostname", "port.number": "port", "tls.credentialName": "tls.certificateRefs"}

// GatewayHost is a host of a server with the namespaces whose VirtualServices
// may bind to it.
type GatewayHost struct {
	Namespace string // "*" is any
	Host      string // may be a wildcard
}

// Admits tells whether a VirtualService of the namespace may use the host.
func (h GatewayHost) Admits(namespace string) bool {
	return h.Namespace == "*" || h.Namespace == namespace
}

// ParseGateway reads a Gateway, without the servers that cannot be served.
func ParseGateway(o *networkingv1.Gateway) (*Gateway, []object.Finding) {
	ref := object.Ref{Kind: object.KindGateway, Namespace: o.Namespace, Name: o.Name}
	g := &Gateway{Ref: ref, Name: o.Namespace + "/" + o.Name, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Selector: o.Spec.Selector}
	var findings []object.Finding
	for i, s := range o.Spec.Servers {
		srv, found := parseServer(g, i, s)
		findings = append(findings, found...)
		if srv != nil {
			g.Servers = append(g.Servers, srv)
		}
	}
	return g, findings
}

// parseServer reads a server; nil when it is left out.
func parseServer(g *Gateway, i int, in *networking.Server) (*Server, []object.Finding) {
	at := fmt.Sprintf("spec.servers[%d]", i)
	var findings []object.Finding
	bad := func(field, format string, args ...any) {
		findings = append(findings, object.Finding{Object: g.Ref, Field: at + "." + field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
	}
	if in.GetPort() == nil || in.Port.Number == 0 || in.Port.Number > object.MaxPort {
		bad("port.number", "the server has no port number from 1 to 65535; it is left out: set one")
		return nil, findings
	}
	protocol, ok := object.ParseProtocol(in.Port.Protocol)
	if !ok {
		bad("port.protocol", "unknown protocol %q; the server is left out: use HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS", in.Port.Protocol)
		return nil, findings
	}
	if protocol.IsTLS() && in.Tls == nil {
		bad("tls", "a %s server needs tls settings; it is left out: set tls.mode, and credentialName where it terminates TLS", in.Port.Protocol)
		return nil, findings
	}
	if !protocol.IsTLS() && endsTLS(in.Tls) {
		bad("tls", "a server of protocol %s is plain text, and its tls settings ask for more than httpsRedirect; it is left out: use protocol HTTPS or TLS", in.Port.Protocol)
		return nil, findings
	}
	s, left := checkServerTLS(g.Ref, at, in)
	if findings = append(findings, left...); s == nil {
		return nil, findings
	}
	if a, err := netip.ParseAddr(s.Bind); s.Bind != "" && (err != nil || a.Zone() != "") {
		bad("bind", "%q is no IP address; the server is left out: write an address of the gateway's pods, or remove the field", s.Bind)
		return nil, findings
	}
	unread := func(field, instead string) {
		findings = append(findings, object.Finding{Object: g.Ref, Field: at + "." + field, Code: object.CodeUnsupported, Message: "the field is not acted upon: " + instead})
	}
	if s.DefaultEndpoint != "" {
		unread("defaultEndpoint", "requests go where VirtualServices lead them; take it out")
	}
	if s.Port.TargetPort != 0 { //nolint:staticcheck // the field of old is still written
		unread("port.targetPort", "the pods listen on the target port of their Service; take it out")
	}
	srv := &Server{Gateway: g, Index: i, Spec: s, Number: s.Port.Number, Protocol: protocol}
	for j, h := range s.Hosts {
		gh, ok := parseGatewayHost(h, g.Namespace)
		if !ok {
			bad(fmt.Sprintf("hosts[%d]", j), "%q is no host; it is ignored: use [namespace/]host, with a DNS name, * or a wildcard such as *.example.com", h)
			continue
		}
		if !slices.Contains(srv.Hosts, gh) {
			srv.Hosts = append(srv.Hosts, gh)
		}
	}
	if len(srv.Hosts) == 0 {
		bad("hosts", "the server has no hosts; it is left out")
		return nil, findings
	}
	return srv, findings
}

// endsTLS tells whether TLS settings say more than httpsRedirect, which is all
// that a server of plain text can do.
func endsTLS(t *networking.ServerTLSSettings) bool {
	return t != nil && !proto.Equal(t, &networking.ServerTLSSettings{HttpsRedirect: t.HttpsRedirect})
}

// parseGatewayHost reads a host of a server; false when it is none that proxies
// take as the name of a server.
func parseGatewayHost(h, ns string) (GatewayHost, bool) {
	gh := GatewayHost{Namespace: "*", Host: h}
	if a, b, ok := strings.Cut(h, "/"); ok {
		gh = GatewayHost{Namespace: a, Host: b}
		if a == "." {
			gh.Namespace = ns
		}
	}
	if gh.Host = strings.ToLower(gh.Host); gh.Host != "*." {
		gh.Host = strings.TrimSuffix(gh.Host, ".")
	}
	return gh, gh.Namespace != "" && ValidServerName(gh.Host)
}

// ValidServerName tells whether a host, in lower case, can be the name of a server
// that clients ask for by SNI, or "*" for all: Envoy refuses the whole listener
// for others, such as "*name" and ".name".
func ValidServerName(host string) bool {
	return object.ValidHost(host) && (host == "*" || !object.IsWildcard(host) || strings.HasPrefix(host, "*."))
}

// Admits tells whether a server of the Gateway has the host for VirtualServices of the
// namespace.
func (g *Gateway) Admits(namespace, host string) bool {
	for _, s := range g.Servers {
		for _, h := range s.Hosts {
			if _, ok := object.IntersectHosts(h.Host, host); ok && h.Admits(namespace) {
				return true
			}
		}
	}
	return false
}

// PodSelector selects Pods of one namespace.
type PodSelector struct {
	Namespace string
	Labels    map[string]string
}
