package mesh

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Inbound is all that decides what a workload accepts. It holds nothing that
// tells one pod of a Deployment from another, and can be compared: workloads
// with equal values share the resources made from it.
type Inbound struct {
	Namespace string
	// Workload, CanonicalName, CanonicalRevision, App, Version and
	// ServiceAccount are what the workload's metrics are labelled with.
	Workload          string
	CanonicalName     string
	CanonicalRevision string
	App               string
	Version           string
	ServiceAccount    string

	Ports List[InboundPort] // by number
	// MutualTLS is what ports ask for that are not in Ports.
	MutualTLS MutualTLS
	// IPv4 and IPv6 tell of which families the workload has an address.
	IPv4, IPv6 bool

	RequestAuthentications List[*RequestAuthentication] // those that apply, farthest first
	Issuers                List[*IssuerKeys]            // that those name and say no keys of, as far as they were asked
	AuthorizationPolicies  List[*AuthorizationPolicy]
	Telemetries            List[*Telemetry]
	Backends               List[Backend] // that the policies need

	Config *Config
}

// InboundPort is a port of a workload with chains of its own.
type InboundPort struct {
	Number   uint32 // on the workload
	Protocol object.Protocol
	// Service is the oldest service that leads to the port, which gives it
	// its protocol; nil for ports that only a policy or a Sidecar names.
	Service *registry.Service
	// ServicePort is the number of the port of Service that leads here; 0 without Service.
	ServicePort uint32
	// Endpoint is where the application takes the traffic when that is not
	// where it is addressed to (Sidecar.ingress.defaultEndpoint): "IP:port",
	// ":port" for the pod's own address, or "unix://PATH". "" otherwise.
	Endpoint  string
	MutualTLS MutualTLS
	// Pool limits what the application is asked at a time, see inboundPool; nil: no limits.
	Pool *networking.ConnectionPoolSettings
}

// InboundOf is what the workload accepts in this world. Findings tell what of
// a Sidecar's ingress is not in force.
func (w *World) InboundOf(x *registry.Workload) (Inbound, []object.Finding) {
	root := w.Config.RootNamespace
	in := Inbound{
		Namespace: x.Namespace, Workload: x.Owner, ServiceAccount: x.ServiceAccount,
		CanonicalName: x.CanonicalName(), CanonicalRevision: x.CanonicalRevision(),
		App: x.Labels["app"], Version: x.Labels["version"],
		// No port has number 0: what it asks for is what any port does.
		MutualTLS: MutualTLSOf(w.PeerAuthentications, root, x, 0),
		Config:    w.Config,
	}
	if in.Workload == "" {
		in.Workload = x.Name
	}
	for _, a := range x.Addresses {
		in.IPv4 = in.IPv4 || a.Is4()
		in.IPv6 = in.IPv6 || !a.Is4()
	}
	ports, findings := w.inboundPorts(x)
	in.Ports = ListOf(ports...)
	in.RequestAuthentications = ListOf(w.RequestAuthenticationsOf(x)...)
	in.Issuers = w.IssuersOf(in.RequestAuthentications.Slice())
	in.AuthorizationPolicies = ListOf(w.AuthorizationPoliciesOf(x)...)
	view := w.View(Scope{Role: RoleSidecar, Namespace: x.Namespace, Labels: object.CanonicalLabels(x.Labels)})
	telemetries := w.TelemetriesOf(x)
	in.Telemetries = ListOf(telemetries...)
	in.Backends = view.Backends(in.RequestAuthentications.Slice(), in.AuthorizationPolicies.Slice(), telemetries)
	return in, findings
}

// inboundPorts are the ports of the workload: those of its Sidecar's ingress
// or else those that services lead to, and those with a mode of their own.
func (w *World) inboundPorts(x *registry.Workload) ([]InboundPort, []object.Finding) {
	byNumber := map[uint32]InboundPort{}
	add := func(p InboundPort) {
		if _, taken := byNumber[p.Number]; taken || p.Number == 0 || p.Number > 65535 || p.Protocol == object.ProtocolUDP {
			return
		}
		p.MutualTLS = MutualTLSOf(w.PeerAuthentications, w.Config.RootNamespace, x, p.Number)
		byNumber[p.Number] = p
	}
	services := w.servicesTo(x)
	findings := rivalPorts(x, services)
	sidecar := w.sidecarFor(x.Namespace, x.Labels)
	if sidecar != nil && len(sidecar.Spec.Ingress) > 0 {
		findings = ingressPorts(sidecar, services, add) // which says what the ports speak
	} else {
		for _, s := range services {
			for i, p := range s.service.Ports {
				add(InboundPort{Number: s.ports[i], Protocol: p.Protocol, Service: s.service, ServicePort: p.Number})
			}
		}
	}
	for _, p := range w.PeerAuthentications.For(w.Config.RootNamespace, x.Namespace, x.Labels) {
		for n := range p.Spec.GetPortLevelMtls() {
			if len(p.Selector) == 0 || p.Namespace == x.Namespace {
				add(InboundPort{Number: n})
			}
		}
	}
	// As a client with none of the labels that rules select clients by.
	view := w.View(Scope{Role: RoleSidecar, Namespace: x.Namespace})
	out := make([]InboundPort, 0, len(byNumber))
	for _, p := range byNumber {
		p.Pool = view.inboundPool(sidecar, p)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b InboundPort) int { return int(a.Number) - int(b.Number) })
	return out, findings
}

// ingressPorts adds the listeners of a Sidecar.
func ingressPorts(s *traffic.Sidecar, services []leading, add func(InboundPort)) (findings []object.Finding) {
	for i, l := range s.Spec.Ingress {
		at := "spec.ingress[" + strconv.Itoa(i) + "]"
		found := func(code object.Code, field, message string) {
			findings = append(findings, object.Finding{Object: s.Ref, Field: at + field, Code: code, Message: message})
		}
		if n := l.GetPort().GetNumber(); n == 0 || n > 65535 {
			found(object.CodeInvalid, ".port.number", "the listener has no port number from 1 to 65535; it is left out: set one")
			continue
		}
		protocol, ok := object.ParseProtocol(l.Port.Protocol)
		if !ok && l.Port.Protocol != "" {
			found(object.CodeInvalid, ".port.protocol", "unknown protocol; it is found out from the traffic: use HTTP, HTTP2, GRPC, HTTPS, TLS, MONGO or TCP")
		}
		if l.CaptureMode == networking.CaptureMode_NONE {
			found(object.CodeUnsupported, ".captureMode", "NONE is not supported; redirected traffic is taken: remove captureMode")
		}
		if l.Bind != "" {
			found(object.CodeUnsupported, ".bind", "a bind address needs captureMode NONE, which is not supported; it is ignored")
		}
		if l.Tls != nil {
			found(object.CodeUnsupported, ".tls", "TLS settings of ingress listeners are not supported; PeerAuthentication decides")
		}
		endpoint, ok := ingressEndpoint(l.DefaultEndpoint, l.Port.Number)
		if !ok {
			found(object.CodeInvalid, ".defaultEndpoint", "not 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///PATH; the listener is left out")
			continue
		}
		p := InboundPort{Number: l.Port.Number, Protocol: protocol, Endpoint: endpoint}
		for _, svc := range services {
			if at := slices.Index(svc.ports, p.Number); at >= 0 {
				p.Service, p.ServicePort = svc.service, svc.service.Ports[at].Number
				break
			}
		}
		add(p)
	}
	return findings
}

// ingressEndpoint reads Sidecar.ingress.defaultEndpoint of a listener on the port.
func ingressEndpoint(s string, port uint32) (string, bool) {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		return s, path != ""
	}
	if s == "" {
		return "", true
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", false
	}
	switch s[:i] {
	case "127.0.0.1", "[::1]":
		return s, true
	case "0.0.0.0", "[::]", "":
		if uint32(n) == port {
			return "", true
		}
		return ":" + strconv.Itoa(int(n)), true
	}
	return "", false
}

// RequestAuthenticationsOf are the RequestAuthentications that apply to a
// workload, farthest first.
func (w *World) RequestAuthenticationsOf(x *registry.Workload) []*RequestAuthentication {
	return policiesOf(w.policiesFor(x), w.RequestAuthentications)
}

// AuthorizationPoliciesOf are the AuthorizationPolicies that apply to a
// workload, farthest first.
func (w *World) AuthorizationPoliciesOf(x *registry.Workload) []*AuthorizationPolicy {
	return policiesOf(w.policiesFor(x), w.AuthorizationPolicies)
}

func policiesOf[T any](f workloadPolicies, policies *Policies[T]) (out []*Policy[T]) {
	namespaces := []string{f.world.Config.RootNamespace, f.workload.Namespace}
	for _, ns := range slices.Compact(namespaces) {
		for _, p := range policies.In(ns) {
			if p = applying(f, p); p != nil {
				out = append(out, p)
			}
		}
	}
	return out
}

// policiesFor finds what applies to a workload, by the services that lead to it too.
func (w *World) policiesFor(x *registry.Workload) workloadPolicies {
	return workloadPolicies{world: w, workload: x, services: sync.OnceValue(func() []*registry.Service { return w.ServicesOf(x) })}
}

// TelemetriesOf are the Telemetry objects that apply to what a workload accepts, farthest
// first: at most one each for the mesh, for the namespace and for the workload. Of several
// the oldest applies, as Istio has it. Unlike policies, one with a selector is for its own
// namespace only, the root namespace included.
func (w *World) TelemetriesOf(x *registry.Workload) []*Telemetry {
	return w.telemetriesFor(w.policiesFor(x))
}

// ClientTelemetriesOf are those that apply to what workloads of a namespace call, of which
// only labels are known. What is attached to a Service is for those who serve it.
func (w *World) ClientTelemetriesOf(namespace string, labels map[string]string) []*Telemetry {
	return w.telemetriesFor(workloadPolicies{world: w, workload: &registry.Workload{Namespace: namespace, Labels: labels}})
}

func (w *World) telemetriesFor(f workloadPolicies) []*Telemetry {
	var out []*Telemetry
	first := func(namespace string, near bool) {
		for _, t := range w.Telemetries.In(namespace) {
			if near == (len(t.Selector)+len(t.targets) > 0) && applying(f, t) != nil {
				out = append(out, t)
				return
			}
		}
	}
	root := w.Config.RootNamespace
	first(root, false)
	if f.workload.Namespace != root {
		first(f.workload.Namespace, false)
	}
	before := len(out)
	if first(f.workload.Namespace, true); len(out) == before && f.workload.Namespace != root {
		for _, t := range w.Telemetries.In(root) { // of a GatewayClass
			if len(t.targets) > 0 && applying(f, t) != nil {
				return append(out, t)
			}
		}
	}
	return out
}
