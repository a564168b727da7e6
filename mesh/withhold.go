package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// maxWithheld is how many endpoints of one host are named in findings.
const maxWithheld = 20

// withhold gives each set of endpoints of the host what of it may be shown to
// gateways and to sidecars of other namespaces, and keeps what the answer
// depends on. A set whose namespace may lead inside is shown whole.
func (b *builder) withhold(name string, h *registry.Host) {
	var findings []object.Finding
	w := withholder{builder: b, host: name, uses: b.lookedUp}
	if h != nil {
		w.findTakers(h)
		for i, s := range h.Services {
			h.Endpoints[i] = w.set(s, h.Endpoints[i])
			if resolvesInside(s) && !b.world.Config.MayLeadInside(s.Namespace) {
				w.findings = append(w.findings, withheldFinding(s.Ref, s.Host, placeOf(strings.TrimPrefix(s.Host, "*.")).why))
			}
			if s.Alias != "" && placeOf(s.Alias).why != "" && !b.world.Config.MayLeadInside(s.Namespace) {
				f := withheldFinding(s.Ref, s.Alias, placeOf(s.Alias).why)
				f.Field = "spec.externalName"
				w.findings = append(w.findings, f)
			}
		}
		findings = w.findings
	}
	b.setUses(name, w.uses)
	b.foundOfHost(name, "withheld", findings)
}

// foundOfHost replaces what a step of building found about the host's objects.
func (b *builder) foundOfHost(host, step string, findings []object.Finding) {
	b.foundAs(object.Ref{Kind: "host", Name: host}, step, findings)
}

// setUses replaces the names and addresses that the record of a host was made
// with beyond its own objects.
func (b *builder) setUses(host string, uses map[string]struct{}) {
	for u := range b.uses[host] {
		if _, still := uses[u]; !still {
			if delete(b.usedBy[u], host); len(b.usedBy[u]) == 0 {
				delete(b.usedBy, u)
			}
		}
	}
	for u := range uses {
		if b.usedBy[u] == nil {
			b.usedBy[u] = map[string]struct{}{}
		}
		b.usedBy[u][host] = struct{}{}
	}
	if len(uses) == 0 {
		delete(b.uses, host)
	} else {
		b.uses[host] = uses
	}
}

// touchUsers marks the hosts whose records were made with a name or an address of what is
// in the namespace.
func (b *builder) touchUsers(use, namespace string) {
	for host := range b.usedBy[use] {
		b.touchUser(host, namespace)
	}
}

// touchHolders marks the hosts whose records were made with an address that a workload has,
// or had. What a WorkloadEntry says of an address counts in its own namespace alone.
func (b *builder) touchHolders(address string, w *registry.Workload) {
	for host := range b.usedBy[address] {
		if w.Ref.Kind == object.KindPod || slices.Contains(b.declarers(host), w.Namespace) {
			b.touchUser(host, w.Namespace)
		}
	}
}

// touchUsersOf marks the hosts whose records were made with the name or an address of one
// whose Kubernetes Service is another than before. What ServiceEntries add to it, or say
// of addresses, nobody looks at.
func (b *builder) touchUsersOf(name string, old, next *registry.Host) {
	was, wasSet := kubernetesOf(old)
	is, isSet := kubernetesOf(next)
	if was == is && wasSet.Equal(isSet) {
		return
	}
	for _, s := range []*registry.Service{was, is} {
		if s == nil {
			continue
		}
		b.touchUsers(name, s.Namespace)
		for _, p := range s.Addresses {
			if was != is && p.IsSingleIP() {
				b.touchUsers(p.Addr().String(), s.Namespace)
			}
		}
	}
}

// kubernetesOf is the Kubernetes Service of a host with its endpoints; nil when it has none.
func kubernetesOf(h *registry.Host) (*registry.Service, *registry.EndpointSet) {
	if h == nil || !h.Services[0].Kubernetes() {
		return nil, nil
	}
	return h.Services[0], h.Endpoints[0]
}

// withholder looks through the endpoints of one host.
type withholder struct {
	*builder
	host     string
	uses     map[string]struct{}
	findings []object.Finding
}

// set is the set with what may be shown of it, if that is not all.
func (w *withholder) set(s *registry.Service, set *registry.EndpointSet) *registry.EndpointSet {
	var shown []registry.Endpoint
	some := false
	for _, e := range set.Endpoints {
		out, whole, any := w.endpoint(s, e)
		some = some || !whole
		if any {
			shown = append(shown, out)
		}
	}
	if !some {
		return set
	}
	out := *set
	out.Shown = registry.NewEndpointSet(shown)
	return &out
}

// endpoint is what may be shown of an endpoint, whether that is all of it, and
// whether it is anything.
func (w *withholder) endpoint(s *registry.Service, e registry.Endpoint) (out registry.Endpoint, whole, any bool) {
	at := placeOf(e.Address)
	if e.Workload.Ref.Kind == object.KindPod && slices.Contains(e.Workload.Addresses, at.addr) {
		return e, true, true // the address is the kubelet's word, not the user's
	}
	if at.why != "" {
		w.found(s, e, at.why)
		return e, false, false
	}
	out, whole = e, true
	for i, port := range e.Ports {
		if port == 0 {
			continue
		}
		why := w.reason(at, port, maxLeads)
		if why == "" {
			any = true
			continue
		}
		if whole {
			whole, out.Ports = false, slices.Clone(e.Ports)
		}
		out.Ports[i] = 0
		w.found(s, e, why)
	}
	return out, whole, any || whole
}

// found tells the owner of the endpoint's object.
func (w *withholder) found(s *registry.Service, e registry.Endpoint, why string) {
	if w.world.Config.MayLeadInside(s.Namespace) {
		return
	}
	f := withheldFinding(e.Workload.Ref, e.Address, why)
	if len(w.findings) < maxWithheld && !slices.Contains(w.findings, f) {
		w.findings = append(w.findings, f)
	}
}

func withheldFinding(ref object.Ref, address, why string) object.Finding {
	field := "endpoints"
	switch ref.Kind {
	case object.KindServiceEntry:
		field = "spec.endpoints"
	case object.KindWorkloadEntry:
		field = "spec.address"
	}
	return object.Finding{Object: ref, Field: field, Code: object.CodeWithheld,
		Message: fmt.Sprintf("%s is %s; gateways and sidecars of other namespaces are not led there: use the server's own address, or have the operator allow the namespace in fairway.localEndpoints of the mesh configuration", address, why)}
}

// maxLeads is how many names and virtual addresses in a row are followed.
const maxLeads = 8

// reason says why a proxy that dials a place would, by what the mesh knows,
// come to its own pod or to the own ports of another's proxy; "" when it would
// not.
func (w *withholder) reason(at place, port uint32, hops int) string {
	if at.why != "" {
		return at.why
	}
	use := at.name
	if at.addr.IsValid() {
		use = at.addr.String()
	}
	if proxyPort(port) && !at.addr.IsValid() && !strings.Contains(at.name, ".") {
		return fmt.Sprintf("a short name, which may be that of the proxy's own pod, with the proxy's port %d", port)
	}
	w.uses[use] = struct{}{}
	if x, _ := w.world.addresses.Get(use); x != nil && x.Ref.Kind == object.KindPod && proxyPort(port) {
		return fmt.Sprintf("with port %d one of the ports of the proxy in pod %s/%s", port, x.Namespace, x.Name)
	}
	s, set := w.serviceAt(use)
	if s == nil || hops == 0 || s.Host == w.host {
		return ""
	}
	w.uses[s.Host] = struct{}{}
	if s.Resolution == registry.ResolutionAlias {
		return w.reason(placeOf(s.Alias), port, hops-1)
	}
	name := "the name or address of " + s.Host
	if set.Shown != nil {
		return name + ", some endpoints of which lead inside"
	}
	i := s.PortIndex(port)
	for _, e := range set.Endpoints {
		target := port
		if !s.Headless {
			if i < 0 {
				break
			}
			target = e.Ports[i]
		}
		if !proxyPort(target) {
			if s.Headless {
				break // it is the same for all
			}
			continue
		}
		if x, _ := w.world.addresses.Get(e.Address); x != nil && x.Ref.Kind == object.KindPod {
			return fmt.Sprintf("%s, which leads to port %d of the proxy in pod %s/%s", name, target, x.Namespace, x.Name)
		}
	}
	return ""
}

// serviceAt is the Kubernetes Service that the cluster's DNS or network has at
// a name or an address; nil when there is none.
func (w *withholder) serviceAt(use string) (*registry.Service, *registry.EndpointSet) {
	if _, err := netip.ParseAddr(use); err == nil {
		hosts, _ := w.world.vips.Get(use)
		for _, name := range hosts {
			if h := w.world.Host(name); h != nil && h.Services[0].Kubernetes() {
				return h.Services[0], h.Endpoints[0]
			}
		}
		return nil, nil
	}
	base := strings.TrimSuffix(strings.TrimSuffix(use, "."+object.Domain), ".svc")
	labels := strings.Split(base, ".")
	if len(labels) < 2 {
		return nil, nil
	}
	// Pods of a headless service have names below it.
	full := strings.Join(labels[len(labels)-2:], ".") + ".svc." + object.Domain
	w.uses[full] = struct{}{}
	if h := w.world.Host(full); h != nil && h.Services[0].Kubernetes() && (len(labels) == 2 || h.Services[0].Headless) {
		return h.Services[0], h.Endpoints[0]
	}
	return nil, nil
}
