package traffic

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Sidecar is a Sidecar of networking.istio.io: what the proxies that it
// selects see of the mesh. It never changes.
type Sidecar struct {
	Ref       object.Ref
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

	byNamespace map[string]*object.HostSet // of Hosts, by their namespace as it is written
}

// EgressHost is "namespace/dnsName": Namespace "*" is any and "." that of the
// client, which for a Sidecar in the root namespace is not its own; Host may
// be a wildcard.
type EgressHost struct{ Namespace, Host string }

// ParseSidecar reads a Sidecar; what is wrong with it, CheckEgress tells.
func ParseSidecar(o *networkingv1.Sidecar) *Sidecar {
	s := &Sidecar{Ref: object.Ref{Kind: object.KindSidecar, Namespace: o.Namespace, Name: o.Name}, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Spec: &o.Spec}
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

// addHost adds an entry of hosts; what is none, CheckEgress tells.
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
		return
	}
	l.Hosts = append(l.Hosts, eh)
	if l.byNamespace == nil {
		l.byNamespace = map[string]*object.HostSet{}
	}
	if l.byNamespace[ns] == nil {
		l.byNamespace[ns] = object.NewHostSet()
	}
	l.byNamespace[ns].Add(eh.Host)
}

// covers tells whether the entry is for the host of an object of the namespace.
func (e EgressHost) covers(client, namespace, host string) bool {
	return e.of(client, namespace) && object.HostMatches(e.Host, host)
}

// of tells whether the entry is for objects of the namespace.
func (e EgressHost) of(client, namespace string) bool {
	return e.Namespace == "*" || e.Namespace == namespace || e.Namespace == "." && client == namespace
}

// Imports tells whether the listener shows the host of a service or
// VirtualService of the namespace to clients of another.
func (l *EgressListener) Imports(client, namespace, host string) bool {
	return !l.excludes(client, namespace, host) && slices.ContainsFunc(l.Hosts, func(e EgressHost) bool { return e.covers(client, namespace, host) })
}

func (l *EgressListener) excludes(client, namespace, host string) bool {
	return slices.ContainsFunc(l.Excluded, func(e EgressHost) bool { return e.covers(client, namespace, host) })
}

// ImportsRule tells whether the listener imports a VirtualService: it does with any of
// its hosts, which it may cover or, where that is a pattern, have a part of.
func (l *EgressListener) ImportsRule(client string, vs *VirtualService) bool {
	return slices.ContainsFunc(vs.Routed(), func(host string) bool {
		for ns, set := range l.byNamespace {
			if (EgressHost{Namespace: ns}).of(client, vs.Namespace) && set.Covers(host) && !l.excludes(client, vs.Namespace, host) {
				return true
			}
		}
		return false
	})
}

// Shown are the names that the listener shows of a host that an imported VirtualService
// names: the host, or of a pattern the part that is imported.
func (l *EgressListener) Shown(client string, vs *VirtualService, host string) (out []string) {
	if l.excludes(client, vs.Namespace, host) {
		return nil
	}
	if !object.IsWildcard(host) || l.Imports(client, vs.Namespace, host) {
		return []string{host}
	}
	for _, e := range l.Hosts {
		if e.of(client, vs.Namespace) && object.HostMatches(host, e.Host) && !l.excludes(client, vs.Namespace, e.Host) {
			out = append(out, e.Host)
		}
	}
	return out
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
// is: by the egress listeners that are in charge of the port.
func (s *Sidecar) Listens(client, namespace, host string, port uint32) bool {
	if s == nil || len(s.Egress) == 0 {
		return true
	}
	return slices.ContainsFunc(s.InCharge(port), func(l *EgressListener) bool { return l.Imports(client, namespace, host) })
}

// InCharge are the egress listeners that are for the port or else those for all.
func (s *Sidecar) InCharge(port uint32) (out []*EgressListener) {
	for _, number := range []uint32{port, 0} {
		for i := range s.Egress {
			if s.Egress[i].Port == number {
				out = append(out, &s.Egress[i])
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
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
