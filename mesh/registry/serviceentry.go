package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ServiceEntry is a ServiceEntry of networking.istio.io that was read: a Service
// for each host, and where their endpoints come from.
type ServiceEntry struct {
	Ref      object.Ref
	Services []*Service                  // one for each host
	Inline   []*networking.WorkloadEntry // spec.endpoints
	Selector map[string]string           // of spec.workloadSelector; nil: Inline counts; empty: nothing is selected
	Created  time.Time
	Findings []object.Finding
}

// ParseServiceEntry reads a ServiceEntry: one service for each of its hosts.
func ParseServiceEntry(o *networkingv1.ServiceEntry, domain string) *ServiceEntry {
	ref := object.Ref{Kind: object.KindServiceEntry, Namespace: o.Namespace, Name: o.Name}
	se := &ServiceEntry{Ref: ref, Inline: o.Spec.Endpoints, Created: o.CreationTimestamp.Time}
	if o.Spec.WorkloadSelector != nil {
		se.Selector = o.Spec.WorkloadSelector.Labels
		if len(se.Selector) == 0 {
			se.Selector = map[string]string{}
			se.bad("spec.workloadSelector", "the selector is empty and selects nothing; the hosts have no endpoints: list labels of the workloads")
		}
		if len(se.Inline) > 0 {
			se.bad("spec.endpoints", "endpoints and workloadSelector exclude each other; the endpoints are ignored: remove one of the two")
			se.Inline = nil
		}
	}
	base := Service{
		Ref: ref, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Labels: o.Labels,
		External: o.Spec.Location == networking.ServiceEntry_MESH_EXTERNAL, ExportTo: o.Spec.ExportTo, SubjectAltNames: o.Spec.SubjectAltNames,
		Resolution: entryResolution(o.Spec.Resolution),
	}
	if len(se.Selector) > 0 {
		base.Selector = se.Selector
	}
	base.Distribution = AnnotatedDistribution(o.Annotations)
	se.setPorts(&base, o)
	se.setAddresses(&base, o)
	if base.Resolution == ResolutionStatic && len(se.Inline) == 0 && se.Selector == nil {
		se.Findings = append(se.Findings, object.Finding{Object: ref, Field: "spec.resolution", Code: object.CodeUnreferenced,
			Message: "nobody resolves names with resolution STATIC, and there are neither endpoints nor a workloadSelector; requests get 503: list endpoints, or use resolution DNS"})
	}
	se.keepAddressed(&base)
	se.setServices(&base, o)
	return se
}

// bad reports a field that cannot be used.
func (se *ServiceEntry) bad(field, format string, args ...any) {
	se.Findings = append(se.Findings, object.Finding{Object: se.Ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
}

// setPorts gives the services their ports, each number once.
func (se *ServiceEntry) setPorts(base *Service, o *networkingv1.ServiceEntry) {
	for i, p := range o.Spec.Ports {
		proto, ok := object.ParseProtocol(p.Protocol)
		if !ok && p.Protocol != "" {
			se.bad(fmt.Sprintf("spec.ports[%d].protocol", i), "unknown protocol %q; the port is treated as undeclared: use HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS", p.Protocol)
		}
		if p.Protocol == "" {
			proto = object.KubernetesProtocol("TCP", nil, p.Name, p.Number)
		}
		if p.Number == 0 || p.Number > object.MaxPort {
			se.bad(fmt.Sprintf("spec.ports[%d].number", i), "%d is no port number; the port is left out: use 1 to 65535", p.Number)
			continue
		}
		if base.Port(p.Number) != nil {
			se.bad(fmt.Sprintf("spec.ports[%d].number", i), "port %d is listed twice; the first one counts", p.Number)
			continue
		}
		target := p.TargetPort
		if target > object.MaxPort {
			se.bad(fmt.Sprintf("spec.ports[%d].targetPort", i), "%d is no port number; the port's own number is used: use 1 to 65535", target)
			target = 0
		}
		base.Ports = append(base.Ports, Port{Name: p.Name, Number: p.Number, Target: target, Protocol: proto})
	}
}

// setAddresses gives the services the addresses that clients connect to.
func (se *ServiceEntry) setAddresses(base *Service, o *networkingv1.ServiceEntry) {
	known := map[netip.Prefix]bool{}
	for i, a := range o.Spec.Addresses {
		p, ok := object.ParseSubnet(a)
		if !ok {
			se.bad(fmt.Sprintf("spec.addresses[%d]", i), "%q is neither an address nor a CIDR; it is ignored", a)
			continue
		}
		if p.Bits() == 0 {
			continue // 0.0.0.0/0 is every address, which is what no address says
		}
		if !known[p] {
			known[p] = true
			base.Addresses = append(base.Addresses, p)
		}
	}
	for _, a := range o.Status.GetAddresses() { // allocated by another controller
		if p, ok := object.ParseSubnet(a.Value); ok && len(o.Spec.Addresses) == 0 && base.Resolution != ResolutionNone {
			base.Addresses = append(base.Addresses, p)
		}
	}
}

// keepAddressed leaves out endpoints without an address where nothing resolves names.
func (se *ServiceEntry) keepAddressed(base *Service) {
	if base.Resolution == ResolutionStatic && se.Selector == nil {
		i := -1
		se.Inline = slices.DeleteFunc(slices.Clone(se.Inline), func(e *networking.WorkloadEntry) bool {
			i++
			if _, err := netip.ParseAddr(e.Address); err == nil || strings.HasPrefix(e.Address, "unix://") || e.Address == "" && e.Network != "" {
				return false
			}
			se.bad(fmt.Sprintf("spec.endpoints[%d].address", i), "%q is no IP address, which resolution STATIC needs; the endpoint is left out: use resolution DNS or an address", e.Address)
			return true
		})
	}
}

// setServices makes a service of each host.
func (se *ServiceEntry) setServices(base *Service, o *networkingv1.ServiceEntry) {
	var known object.Set
	for i, h := range o.Spec.Hosts {
		host := strings.ToLower(strings.TrimSuffix(h, "."))
		if host == "*" || !object.ValidHost(host) {
			se.bad(fmt.Sprintf("spec.hosts[%d]", i), "%q is no host; it is left out: use a DNS name, or a wildcard such as *.example.com", h)
			continue
		}
		if !known.Add(host) {
			continue
		}
		s := *base
		s.Host, s.Name = host, host
		if object.IsWildcard(host) && s.Resolution != ResolutionNone && s.Resolution != ResolutionDynamicDNS && len(se.Inline) == 0 && se.Selector == nil {
			se.bad(fmt.Sprintf("spec.hosts[%d]", i), "a wildcard host cannot be resolved; requests to it are not served: list endpoints, or use resolution NONE")
		}
		se.Services = append(se.Services, &s)
	}
}

func entryResolution(r networking.ServiceEntry_Resolution) Resolution {
	switch r {
	case networking.ServiceEntry_DNS:
		return ResolutionDNS
	case networking.ServiceEntry_DNS_ROUND_ROBIN:
		return ResolutionDNSRoundRobin
	case networking.ServiceEntry_STATIC:
		return ResolutionStatic
	case networking.ServiceEntry_DYNAMIC_DNS:
		return ResolutionDynamicDNS
	}
	return ResolutionNone
}

// ParseWorkloadEntry reads a WorkloadEntry, inline in a ServiceEntry or an object
// of its own.
func ParseWorkloadEntry(e *networking.WorkloadEntry, ref object.Ref, meta map[string]string, created time.Time) *Workload {
	w := &Workload{
		Ref: ref, Namespace: ref.Namespace, Name: ref.Name, Owner: ref.Name, Labels: e.Labels,
		ServiceAccount: e.ServiceAccount, Network: e.Network, Weight: e.Weight, Ports: e.Ports, Ready: true, Created: created,
	}
	if len(meta) > 0 { // labels of the object beat those of its spec
		w.Labels = map[string]string{}
		for k, v := range e.Labels {
			w.Labels[k] = v
		}
		for k, v := range meta {
			w.Labels[k] = v
		}
	}
	if e.Locality != "" {
		w.Locality = ParseLocality(e.Locality)
	} else if l := w.Labels["topology.istio.io/locality"]; l != "" {
		w.Locality = ParseLocality(l)
	}
	if w.ServiceAccount == "" {
		w.ServiceAccount = "default"
	}
	mode, said := w.Labels["security.istio.io/tlsMode"]
	w.MutualTLS = mode == "istio" || !said && e.ServiceAccount != "" // an identity is there to be proved
	if a, err := netip.ParseAddr(e.Address); err == nil {
		w.Addresses = []netip.Addr{a.Unmap()}
	} else {
		w.Hostname = e.Address
	}
	return w
}

// EndpointOfEntry is the workload as an endpoint of a ServiceEntry's service, or
// a WorkloadEntry as one of a Kubernetes Service that selects its labels. It is
// false for an address that Envoy would refuse: endpoints that nobody resolves
// need an IP or a Unix socket.
func EndpointOfEntry(s *Service, w *Workload) (Endpoint, bool) {
	e := Endpoint{Workload: w, Address: w.Address(), Healthy: w.Ready && !w.Terminating, Weight: w.Weight, Locality: w.Locality}
	e.Ports = TargetPorts(s, w)
	numeric := len(w.Addresses) > 0 || strings.HasPrefix(w.Hostname, "unix://")
	return e, e.Address != "" && (numeric || s.Resolution != ResolutionStatic)
}
