package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
)

// Gateway is a Gateway of networking.istio.io, or what is made of one of the
// Gateway API or of an Ingress. It never changes.
type Gateway struct {
	Ref       Ref
	Name      string // "namespace/name", as VirtualServices are bound to it
	Namespace string
	Created   time.Time
	Selector  map[string]string // of gateway pods; empty: every gateway pod
	// Pods are, in place of Selector, those of a Gateway of the Gateway API.
	Pods    []PodSelector
	Servers []*Server
}

// OfAPI tells whether the Gateway is made of one of the Gateway API.
func (g *Gateway) OfAPI() bool { return g.Ref.Kind == KindKubeGateway }

// selects tells whether the Gateway is served by a gateway pod.
func (g *Gateway) selects(namespace string, labels map[string]string) bool {
	if g.OfAPI() {
		return slices.ContainsFunc(g.Pods, func(p PodSelector) bool { return p.Namespace == namespace && selects(p.Labels, labels) })
	}
	return selects(g.Selector, labels)
}

// Server is one server of a Gateway.
type Server struct {
	Gateway  *Gateway
	Index    int // in spec.servers
	Spec     *networking.Server
	Number   uint32 // spec.servers[].port.number
	Protocol Protocol
	Hosts    []GatewayHost
	// Listener is the name of the listener that the server is made of; only with a
	// Gateway of the Gateway API. Bound are the routes on it, only of one that is
	// no Gateway of networking.istio.io.
	Listener string
	Bound    []Bound
}

// Field is the path of the server in its object.
func (s *Server) Field() string {
	if s.Gateway.OfAPI() {
		return fmt.Sprintf("spec.listeners[%d]", s.Index)
	}
	if s.Gateway.Ref.Kind == KindIngress {
		if s.Index < 0 {
			return "spec.rules"
		}
		return fmt.Sprintf("spec.tls[%d]", s.Index)
	}
	return fmt.Sprintf("spec.servers[%d]", s.Index)
}

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

func parseGateway(o *networkingv1.Gateway) (*Gateway, []Finding) {
	ref := Ref{KindGateway, o.Namespace, o.Name}
	g := &Gateway{Ref: ref, Name: o.Namespace + "/" + o.Name, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Selector: o.Spec.Selector}
	var findings []Finding
	bad := func(field, format string, args ...any) {
		findings = append(findings, Finding{Object: ref, Field: field, Code: CodeInvalid, Message: fmt.Sprintf(format, args...)})
	}
	for i, s := range o.Spec.Servers {
		at := fmt.Sprintf("spec.servers[%d]", i)
		if s.GetPort() == nil || s.Port.Number == 0 || s.Port.Number > maxPort {
			bad(at+".port.number", "the server has no port number from 1 to 65535; it is left out")
			continue
		}
		proto, ok := ParseProtocol(s.Port.Protocol)
		if !ok {
			bad(at+".port.protocol", "unknown protocol %q; the server is left out: use HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS", s.Port.Protocol)
			continue
		}
		if (proto == ProtocolHTTPS || proto == ProtocolTLS) && s.Tls == nil {
			bad(at+".tls", "a %s server needs tls settings; it is left out", s.Port.Protocol)
			continue
		}
		s, left := checkServerTLS(ref, at, s)
		findings = append(findings, left...)
		if s == nil {
			continue
		}
		if _, err := netip.ParseAddr(s.Bind); s.Bind != "" && err != nil {
			bad(at+".bind", "%q is no IP address; the server is left out: write an address of the gateway's pods, or remove the field", s.Bind)
			continue
		}
		srv := &Server{Gateway: g, Index: i, Spec: s, Number: s.Port.Number, Protocol: proto}
		for j, h := range s.Hosts {
			gh, ok := parseGatewayHost(h, o.Namespace)
			if !ok {
				bad(fmt.Sprintf("%s.hosts[%d]", at, j), "%q is no host; it is ignored: use [namespace/]host", h)
				continue
			}
			if !slices.Contains(srv.Hosts, gh) {
				srv.Hosts = append(srv.Hosts, gh)
			}
		}
		if len(srv.Hosts) == 0 {
			bad(at+".hosts", "the server has no hosts; it is left out")
			continue
		}
		g.Servers = append(g.Servers, srv)
	}
	return g, findings
}

func parseGatewayHost(h, ns string) (GatewayHost, bool) {
	gh := GatewayHost{Namespace: "*", Host: strings.ToLower(h)}
	if a, b, ok := strings.Cut(h, "/"); ok {
		gh = GatewayHost{Namespace: a, Host: strings.ToLower(b)}
		if a == "." {
			gh.Namespace = ns
		}
	}
	valid := gh.Host != "" && gh.Namespace != "" && (!strings.Contains(gh.Host[1:], "*")) && (gh.Host == "*" || !IsWildcard(gh.Host) || strings.HasPrefix(gh.Host, "*."))
	return gh, valid
}
