package mesh

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
)

// Sidecar is a Sidecar of networking.istio.io: what the proxies that it
// selects see of the mesh. It never changes.
type Sidecar struct {
	Ref       Ref
	Namespace string
	Created   time.Time
	Selector  map[string]string // nil: the whole namespace, or the mesh in the root namespace
	Spec      *networking.Sidecar
	Egress    []EgressListener
}

// EgressListener is one entry of Sidecar.egress.
type EgressListener struct {
	Spec *networking.IstioEgressListener
	// Port is the one that the listener is for; 0: all that no other is for.
	Port  uint32
	Hosts []EgressHost
	// Excluded hosts are seen by no rule of Hosts ("~namespace/host").
	Excluded []EgressHost
}

// EgressHost is "namespace/dnsName": Namespace "*" is any and "." that of the
// client, which for a Sidecar in the root namespace is not its own; Host may
// be a wildcard.
type EgressHost struct{ Namespace, Host string }

func parseSidecar(o *networkingv1.Sidecar) *Sidecar {
	s := &Sidecar{Ref: Ref{KindSidecar, o.Namespace, o.Name}, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Spec: &o.Spec}
	if o.Spec.WorkloadSelector != nil {
		s.Selector = o.Spec.WorkloadSelector.Labels
	}
	for _, e := range o.Spec.Egress {
		l := EgressListener{Spec: e, Port: e.GetPort().GetNumber()}
		if unboundSocket(e) {
			l.Port = 0
		}
		for _, h := range e.GetHosts() {
			l.addHost(h)
		}
		s.Egress = append(s.Egress, l)
	}
	return s
}

// unboundSocket tells whether the listener asks for an address that is none of IP,
// such as a Unix domain socket, which it does not get: its hosts are served at theirs.
func unboundSocket(e *networking.IstioEgressListener) bool {
	_, err := netip.ParseAddr(e.GetBind())
	return e.GetBind() != "" && err != nil
}

// Bind is where clients find services in place of the services' own addresses
// (Sidecar.egress[].bind and captureMode). The zero value is none.
type Bind struct {
	Address string // an IP address; empty: those of the services
	// Socket says that the proxy opens a socket there; otherwise it only takes
	// captured connections to the address.
	Socket bool
}

// BindOf is where the clients of the Sidecar, which may be nil, find the services
// of a port: as the first egress listener for the port says, or else the first
// without a port.
func (s *Sidecar) BindOf(port uint32) Bind {
	if s == nil {
		return Bind{}
	}
	i := slices.IndexFunc(s.Egress, func(l EgressListener) bool { return l.Port == port })
	if i < 0 {
		i = slices.IndexFunc(s.Egress, func(l EgressListener) bool { return l.Port == 0 })
	}
	if i < 0 {
		return Bind{}
	}
	e := s.Egress[i].Spec
	b := Bind{Socket: e.GetCaptureMode() == networking.CaptureMode_NONE}
	switch a, err := netip.ParseAddr(e.GetBind()); {
	case err == nil:
		b.Address = a.String()
	case b.Socket && e.GetBind() == "":
		b.Address = "127.0.0.1"
	default:
		return Bind{}
	}
	return b
}

// addHost adds an entry of hosts; what is none, checkEgress tells.
func (l *EgressListener) addHost(h string) {
	ns, host, ok := strings.Cut(h, "/")
	if !ok {
		return
	}
	excluded := false
	if len(ns) > 1 && ns[0] == '~' {
		excluded, ns = true, ns[1:]
	}
	if ns == "~" {
		return
	}
	eh := EgressHost{ns, strings.ToLower(strings.TrimSuffix(host, "."))}
	if excluded {
		l.Excluded = append(l.Excluded, eh)
	} else {
		l.Hosts = append(l.Hosts, eh)
	}
}

// Imports tells whether the listener shows the host of a service or
// VirtualService of the namespace to clients of another.
func (l *EgressListener) Imports(client, namespace, host string) bool {
	covers := func(e EgressHost) bool {
		return (e.Namespace == "*" || e.Namespace == namespace || e.Namespace == "." && client == namespace) && HostMatches(e.Host, host)
	}
	return !slices.ContainsFunc(l.Excluded, covers) && slices.ContainsFunc(l.Hosts, covers)
}

// Imports tells whether any egress listener shows the host to clients of a
// namespace; a Sidecar without egress shows all.
func (s *Sidecar) Imports(client, namespace, host string) bool {
	if s == nil || len(s.Egress) == 0 {
		return true
	}
	for i := range s.Egress {
		if s.Egress[i].Imports(client, namespace, host) {
			return true
		}
	}
	return false
}

// Listens tells whether clients of a namespace find the port of the host where it
// is: by the egress listeners that are for the port or else by those for all.
func (s *Sidecar) Listens(client, namespace, host string, port uint32) bool {
	if s == nil || len(s.Egress) == 0 {
		return true
	}
	locked, shown := false, false
	for i := range s.Egress {
		l := &s.Egress[i]
		switch {
		case l.Port == port:
			if !locked {
				locked, shown = true, false
			}
		case l.Port != 0 || locked:
			continue
		}
		shown = shown || l.Imports(client, namespace, host)
	}
	return shown
}

// EgressProxy takes what nothing in the mesh claims, of clients that may reach
// it (Sidecar.outboundTrafficPolicy.egressProxy); nil without one. The Sidecar
// may be nil.
func (s *Sidecar) EgressProxy() *networking.Destination {
	if s == nil {
		return nil
	}
	p := s.Spec.GetOutboundTrafficPolicy().GetEgressProxy()
	if p.GetHost() == "" || p.GetPort().GetNumber() == 0 {
		return nil
	}
	return p
}
