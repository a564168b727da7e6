package mesh

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// heldAPIRoute is a route of the Gateway API that changed or waits: as a whole,
// and only on parents that served one of its hostnames.
type heldAPIRoute struct {
	*builder
	ref    object.Ref
	next   *gatewayapi.Route
	before *gatewayapi.Route // in force until now; nil: none
}

func (r *heldAPIRoute) newest() any { return r.next }

func (r *heldAPIRoute) hold() { r.setAPIRoute(r.ref, r.before) }

func (r *heldAPIRoute) release() { r.setAPIRoute(r.ref, r.next) }

func (r *heldAPIRoute) torn(j *judge) *waits {
	var w waits
	for _, p := range r.next.Parents() {
		c := client{RoleRouter, p.Namespace}
		if p.Kind == object.KindService {
			c = client{RoleSidecar, r.ref.Namespace}
		}
		named, refused := j.backendsOf(r.next, p.Kind == object.KindService)
		before, refusedBefore := j.backendsOf(r.before, p.Kind == object.KindService)
		missing := j.missing(named, before, []client{c})
		waits := slices.ContainsFunc(refused, func(d destination) bool { return !slices.Contains(refusedBefore, d) && !slices.Contains(before, d) })
		if len(missing) == 0 && !waits || !j.parentServed(r.next, p) {
			continue
		}
		w.grants = w.grants || waits
		if !w.waitFor(missing) {
			return nil
		}
	}
	if len(w.hosts) == 0 && !w.grants {
		return nil
	}
	return &w
}

// backendsOf are the destinations of a route, which may be nil, and those that
// no ReferenceGrant lets it use.
func (j *judge) backendsOf(r *gatewayapi.Route, mesh bool) (named, refused []destination) {
	if r == nil {
		return nil, nil
	}
	api := j.world.GatewayAPI()
	for _, b := range r.Backends() {
		d, problem := api.Destination(r.Ref, b, true)
		if problem != (gatewayapi.BackendProblem{}) {
			continue
		}
		to := destination{d.Host, d.GetPort().GetNumber(), ""}
		if _, problem = api.Destination(r.Ref, b, mesh); problem.Reason == gatewayv1.RouteReasonRefNotPermitted {
			refused = append(refused, to)
			continue
		}
		named = append(named, to)
	}
	return named, refused
}

// parentServed tells whether the clients of a parent were served any of the
// route's hostnames before: a Service by itself, a Gateway by some route.
func (j *judge) parentServed(r *gatewayapi.Route, parent object.Ref) bool {
	if parent.Kind == object.KindService {
		return j.last.Host(parent.Name+"."+parent.Namespace+".svc."+object.Domain) != nil
	}
	return slices.ContainsFunc(j.last.api.RoutesOf(parent), func(o *gatewayapi.Route) bool { return len(commonHostnames(r.Hostnames, o.Hostnames)) > 0 })
}

// commonHostnames are those that two lists have in common; an empty list is all.
func commonHostnames(a, b []string) (out []string) {
	all := func(l []string) []string {
		if len(l) == 0 {
			return []string{"*"}
		}
		return l
	}
	for _, x := range all(a) {
		for _, y := range all(b) {
			if h, ok := object.IntersectHosts(x, y); ok {
				out = append(out, h)
			}
		}
	}
	return out
}

// heldIngress is an Ingress that changed or waits, as a whole.
type heldIngress struct {
	*builder
	ref    object.Ref
	next   *gatewayapi.Ingress
	before *gatewayapi.Ingress // in force until now; nil: none
}

func (r *heldIngress) newest() any { return r.next }

func (r *heldIngress) hold() { r.setIngress(r.ref, r.before) }

func (r *heldIngress) release() { r.setIngress(r.ref, r.next) }

func (r *heldIngress) torn(j *judge) *waits {
	if !r.next.ServedBy(j.world.Config.MeshConfig, j.ingresses.classes[r.next.Class]) || !j.ingressServed(r.next, r.before) {
		return nil
	}
	missing := j.missing(j.placesOf(r.next), j.placesOf(r.before), []client{j.ingressClient()})
	var w waits
	if len(missing) == 0 || !w.waitFor(missing) {
		return nil
	}
	return &w
}

// ingressClient is who calls what Ingresses lead to.
func (b *builder) ingressClient() client { return client{RoleRouter, b.world.Config.RootNamespace} }

// unnamedPort stands for a port's name that the Service does not have.
const unnamedPort = 1 << 16

// placesOf are the destinations of an Ingress, which may be nil.
func (b *builder) placesOf(in *gatewayapi.Ingress) (out []destination) {
	if in == nil {
		return nil
	}
	for _, p := range in.Paths() {
		d := destination{host: p.To.Name + "." + in.Ref.Namespace + ".svc." + object.Domain, port: uint32(p.To.Port.Number)}
		if p.ByName {
			if d.port = b.portNamed(object.Ref{Kind: object.KindService, Namespace: in.Ref.Namespace, Name: p.To.Name}, p.To.Port.Name); d.port == 0 {
				d.port = unnamedPort
			}
		}
		out = append(out, d)
	}
	return out
}

// ingressServed tells whether a host of the Ingress was served before, by its
// last version or by another.
func (b *builder) ingressServed(next, before *gatewayapi.Ingress) bool {
	served := object.NewHostSet()
	for ref, in := range b.ingresses.all {
		if ref == next.Ref {
			in = before
		}
		if in == nil {
			continue
		}
		for _, p := range in.Paths() {
			served.Add(p.Host)
		}
	}
	return slices.ContainsFunc(next.Paths(), func(p gatewayapi.IngressPath) bool { return served.Covers(p.Host) })
}
