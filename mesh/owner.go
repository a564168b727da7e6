package mesh

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// fullName is the name of the Kubernetes Service that a name in one of its
// forms stands for in every namespace: NAME.NAMESPACE, with or without .svc and
// the cluster's domain; "" for any other name.
func fullName(name string) string {
	base, ok := strings.CutSuffix(name, ".svc."+object.Domain)
	if !ok {
		base = strings.TrimSuffix(name, ".svc")
	}
	service, namespace, ok := strings.Cut(base, ".")
	if !ok || service == "" || namespace == "" || strings.Contains(namespace, ".") || object.IsWildcard(name) {
		return ""
	}
	return base + ".svc." + object.Domain
}

// formsOf are the other names of a Kubernetes Service, by its full one; nil for
// any other name.
func formsOf(full string) []string {
	base, ok := strings.CutSuffix(full, ".svc."+object.Domain)
	if !ok || fullName(full) != full {
		return nil
	}
	name, _, _ := strings.Cut(base, ".")
	return []string{base + ".svc", base, name}
}

// nameOwner is the Kubernetes Service to which a name belongs, whatever else
// declares it: in every namespace in its forms with a dot, and for clients of
// its own by its name alone. Nil when there is none.
func (w *World) nameOwner(name, client string) *registry.Service {
	full := fullName(name)
	if full == "" {
		if strings.Contains(name, ".") || client == "" || object.IsWildcard(name) {
			return nil
		}
		full = name + "." + client + ".svc." + object.Domain
	}
	if h := w.Host(full); h != nil && h.Services[0].Kubernetes() {
		return h.Services[0]
	}
	return nil
}

// nameHolder is the Service or Pod to which a name belongs, which may be an
// address; the zero Ref is nobody.
func (w *World) nameHolder(name, client string) object.Ref {
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return w.AddressHolder(a)
	}
	if o := w.nameOwner(name, client); o != nil {
		return o.Ref
	}
	return object.Ref{}
}

// takesName tells whether a service has a name that belongs to a Service or
// Pod of another namespace. For clients of its own namespace it may stand for
// that one: they harm nobody but themselves.
func (w *World) takesName(s *registry.Service, client string) bool {
	if s.Kubernetes() || s.Namespace == client {
		return false
	}
	holder := w.nameHolder(s.Host, client)
	return holder != (object.Ref{}) && holder.Namespace != s.Namespace
}

// AddressHolder is the Service whose cluster IP an address is, or the Pod that
// has it to itself, and their namespace. No other namespace's object has the
// address. The zero Ref is nobody.
func (w *World) AddressHolder(a netip.Addr) object.Ref {
	a = a.Unmap()
	text, single := a.String(), netip.PrefixFrom(a, a.BitLen())
	hosts, _ := w.vips.Get(text)
	var of *registry.Service
	for _, name := range hosts {
		h := w.Host(name)
		if h == nil || !h.Services[0].Kubernetes() || !slices.Contains(h.Services[0].Addresses, single) {
			continue // an entry for its host may declare any address
		}
		if s := h.Services[0]; of == nil || object.Older(s.Created, s.Ref, of.Created, of.Ref) < 0 {
			of = s
		}
	}
	if of != nil {
		return of.Ref
	}
	if x, _ := w.addresses.Get(text); x != nil && x.Ref.Kind == object.KindPod && !x.HostNetwork {
		return x.Ref
	}
	return object.Ref{}
}

// mayServe tells whether a service may be what clients find at an address.
func (w *World) mayServe(s *registry.Service, a netip.Addr) bool {
	holder := w.AddressHolder(a)
	return holder == (object.Ref{}) || holder.Namespace == s.Namespace
}

// ServesDirectly tells whether clients that connect to the endpoint's own
// address come to the service: a Pod of its own namespace, or a machine that
// is nobody's Pod.
func (w *World) ServesDirectly(s *registry.Service, e registry.Endpoint) bool {
	a, err := netip.ParseAddr(e.Address)
	if err != nil {
		return false
	}
	a = a.Unmap()
	if e.Workload.Ref.Kind == object.KindPod && e.Workload.Namespace == s.Namespace && slices.Contains(e.Workload.Addresses, a) {
		return true
	}
	if x := w.WorkloadAt(a); x != nil && x.Ref.Kind == object.KindPod {
		return false
	}
	return w.mayServe(s, a)
}

// beats tells whether the rule of a Service's full name, which may be nil, is
// in force for another form of its name before a rule for that form: the
// owner's before everybody else's, then the older one.
func beats(owner *registry.Service, full, short *traffic.VirtualService) bool {
	if full == nil || short == nil {
		return false
	}
	if a, b := full.Namespace == owner.Namespace, short.Namespace == owner.Namespace; a != b {
		return a
	}
	return olderRoute(full, short) < 0
}

// BeatenBy is the VirtualService that is in force for a form of a Service's
// name although another one names that form; nil when there is none.
func (v *View) BeatenBy(name string) *traffic.VirtualService {
	owner := v.nameOwner(name, v.Scope.Namespace)
	if owner == nil || owner.Host == name {
		return nil
	}
	if s, _ := v.Service(owner.Host); s == nil {
		return nil
	}
	full, _ := v.Route(owner.Host)
	short, _ := v.Route(name)
	if full == nil || short != nil && short.Namespace == v.Scope.Namespace && short.ExportTo.Private(short.Namespace, v.Config.DefaultVirtualServiceExportTo) || !slices.Contains(full.Routed(), owner.Host) || !beats(owner, full, short) {
		return nil
	}
	return full
}
