package traffic

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// VirtualService is a VirtualService with its names resolved. It never
// changes; Spec must not be modified.
type VirtualService struct {
	Ref       object.Ref
	Namespace string
	Created   time.Time
	Spec      *networking.VirtualService
	Hosts     []string // fully qualified or wildcards, each once
	Gateways  []string // MeshGateway or "namespace/name"
	ExportTo  object.Visibility
	// Destinations are the hosts that any of its routes names, each once.
	Destinations []string
	// Delegates are the VirtualServices ("namespace/name") that its routes
	// delegate to, each once; Routes of a root with delegates are in Spec already merged.
	Delegates []string
	// GatewayAPI: the rules are those of routes of the Gateway API (Sources),
	// each with one match, the most specific first. Prefixes of theirs are whole
	// segments of the path, and what cannot be reached answers 500.
	GatewayAPI bool
	Sources    []object.Ref

	origins origins
	parts   []delegatedRule // of one without hosts: its rules, each of which roots may bring
	ofParts bounds.RuleCost // all of these, once
	Cost    bounds.RuleCost // of Spec, for one host; zero for those of Gateways of the Gateway API and of Ingresses
}

// FitsPorts is on how many ports of one host the rules are served: as many as keep what
// they become within the bounds of the object.
func (v *VirtualService) FitsPorts() int {
	if v == nil {
		return math.MaxInt
	}
	return max(1, min(bounds.MaxRoutes/max(1, v.Cost.Matches), bounds.MaxExpanded/max(1, v.Cost.Bytes)))
}

// FitsPlaces is FitsPorts for ports that the rules get through each other: then all
// hosts may have as many.
func (v *VirtualService) FitsPlaces() int {
	if v == nil {
		return math.MaxInt
	}
	hosts := max(1, len(v.Hosts))
	return max(1, min(bounds.MaxRoutes/(hosts*max(1, v.Cost.Matches)), bounds.MaxExpanded/(hosts*max(1, v.Cost.Bytes))))
}

// Routed are the hosts that sidecars may route by the rules: never all of them
// at once.
func (v *VirtualService) Routed() []string {
	if v.On(object.MeshGateway) && slices.Contains(v.Hosts, "*") {
		return slices.DeleteFunc(slices.Clone(v.Hosts), func(h string) bool { return h == "*" })
	}
	return v.Hosts
}

// On tells whether the VirtualService is bound to the gateway, MeshGateway or
// "namespace/name", as a whole (routes may narrow that).
func (v *VirtualService) On(gateway string) bool { return slices.Contains(v.Gateways, gateway) }

// Objects are those that the VirtualService is made of.
func (v *VirtualService) Objects() []object.Ref {
	if v.GatewayAPI {
		return v.Sources
	}
	return []object.Ref{v.Ref}
}

// OfSource tells whether any match of its routes asks for the client's labels
// or namespace.
func (v *VirtualService) OfSource() bool { return asksForSource(v.Spec) }

// ResolveGateway turns a gateway as written in an object of namespace ns into
// "namespace/name"; "mesh" stays.
func ResolveGateway(name, ns string) string {
	if name == object.MeshGateway {
		return name
	}
	if a, b, ok := strings.Cut(name, "/"); ok {
		if a == "." {
			a = ns
		}
		return a + "/" + b
	}
	if p := strings.Split(name, "."); len(p) > 1 { // the old form name.namespace.svc.domain
		return p[1] + "/" + p[0]
	}
	return ns + "/" + name
}

// ParseVirtualService reads a VirtualService, without what cannot be served.
func ParseVirtualService(o *networkingv1.VirtualService, domain string) (*VirtualService, []object.Finding) {
	ref := object.Ref{Kind: object.KindVirtualService, Namespace: o.Namespace, Name: o.Name}
	v := &VirtualService{Ref: ref, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Spec: &o.Spec, ExportTo: o.Spec.ExportTo}
	var findings []object.Finding
	var hosts object.Set
	for i, h := range o.Spec.Hosts {
		if !object.ValidHost(h) {
			object.Invalid(ref, &findings)(fmt.Sprintf("spec.hosts[%d]", i), "%q is no host; it is left out: use a DNS name, an address, *, or a wildcard such as *.example.com", h)
			continue
		}
		if h = object.ResolveHost(h, o.Namespace, domain); hosts.Add(h) {
			v.Hosts = append(v.Hosts, h)
		}
	}
	v.setGateways(o.Spec.Gateways)
	for i, h := range o.Spec.Hosts {
		if v.On(object.MeshGateway) && object.EndsWithinLabel(h) && object.ValidHost(h) {
			findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("spec.hosts[%d]", i), Code: object.CodeUnsupported,
				Message: fmt.Sprintf("%s ends within a label; sidecars apply the rules to a service of that very host and to names that no service has, not to services that it covers: write *. before the name", h)})
		}
	}
	if v.On(object.MeshGateway) && slices.Contains(v.Hosts, "*") {
		object.Invalid(ref, &findings)(fmt.Sprintf("spec.hosts[%d]", slices.Index(o.Spec.Hosts, "*")), "* on sidecars would take the requests for every service of the mesh; sidecars leave it out, and gateways and the other hosts stay: name the hosts, or bind the rules to a Gateway")
	}
	findings = append(findings, v.unbound(&o.Spec)...)
	var more []object.Finding
	v.Spec, v.origins, more = checkVirtualService(ref, v.Spec)
	v.SetDestinations(domain)
	v.Cost = bounds.CostOfRules(v.Spec)
	if len(v.Spec.Hosts) == 0 {
		v.parts, v.ofParts = v.delegable()
	}
	return v, append(findings, more...)
}

func (v *VirtualService) setGateways(names []string) {
	var known object.Set
	add := func(g string) {
		if known.Add(g) {
			v.Gateways = append(v.Gateways, g)
		}
	}
	for _, g := range names {
		add(ResolveGateway(g, v.Namespace))
	}
	if len(names) == 0 {
		add(object.MeshGateway)
	}
}

// SetDestinations gathers the hosts that the routes name, and the delegates.
func (v *VirtualService) SetDestinations(domain string) {
	var hosts, delegates object.Set
	EachDestination(v.Spec, func(d *networking.Destination) {
		if h := object.ResolveHost(d.GetHost(), v.Namespace, domain); h != "" && hosts.Add(h) {
			v.Destinations = append(v.Destinations, h)
		}
	})
	for _, r := range v.Spec.Http {
		if r.Delegate != nil {
			if name := DelegateName(r.Delegate, v.Namespace); delegates.Add(name) {
				v.Delegates = append(v.Delegates, name)
			}
		}
	}
}

// EachDestination calls f with every destination that the routes name.
func EachDestination(spec *networking.VirtualService, f func(*networking.Destination)) {
	for _, r := range spec.Http {
		for _, d := range r.Route {
			f(d.GetDestination())
		}
		if r.Mirror != nil {
			f(r.Mirror)
		}
		for _, m := range r.Mirrors {
			f(m.GetDestination())
		}
	}
	for _, r := range spec.Tcp {
		for _, d := range r.Route {
			f(d.GetDestination())
		}
	}
	for _, r := range spec.Tls {
		for _, d := range r.Route {
			f(d.GetDestination())
		}
	}
}

// Uncovered tells of wildcards that include the names of other namespaces'
// Services, which they do not cover for other namespaces' clients. root is the
// root namespace, and exportTo the mesh's default for VirtualServices.
func (v *VirtualService) Uncovered(root string, exportTo []string) (findings []object.Finding) {
	if !v.On(object.MeshGateway) || v.Namespace == root || v.ExportTo.Private(v.Namespace, exportTo) {
		return nil
	}
	for _, h := range v.Routed() {
		if v.CoversOthers(h) {
			findings = append(findings, object.Finding{Object: v.Ref, Field: "spec.hosts", Code: object.CodeUnsupported,
				Message: fmt.Sprintf("%s includes Services of other namespaces, which belong to these; for clients outside of namespace %s the rules cover Services of %s only: name the hosts, or put the rules into namespace %s", h, v.Namespace, v.Namespace, root)})
		}
	}
	return findings
}

// CoversOthers tells whether a host is a pattern that includes the names of other
// namespaces' Services.
func (v *VirtualService) CoversOthers(host string) bool {
	if !object.IsWildcard(host) || object.HostMatches("*."+v.Namespace+".svc."+object.Domain, host) {
		return false
	}
	_, meet := object.IntersectHosts("*.svc."+object.Domain, host)
	return meet
}

// Narrowed is the VirtualService for some of its hosts on some of its gateways;
// nil for none. It is the same when that is all that it has.
func (v *VirtualService) Narrowed(hosts, gateways []string) *VirtualService {
	in := func(all []string) func(string) bool {
		of := make(map[string]struct{}, len(all))
		for _, s := range all {
			of[s] = struct{}{}
		}
		return func(s string) bool { _, ok := of[s]; return !ok }
	}
	if len(hosts) == 0 || len(gateways) == 0 {
		return nil
	}
	out := *v
	out.Hosts = slices.DeleteFunc(slices.Clone(v.Hosts), in(hosts))
	out.Gateways = slices.DeleteFunc(slices.Clone(v.Gateways), in(gateways))
	if len(out.Hosts) == 0 || len(out.Gateways) == 0 {
		return nil
	}
	if len(out.Hosts) == len(v.Hosts) && len(out.Gateways) == len(v.Gateways) {
		return v
	}
	return &out
}
