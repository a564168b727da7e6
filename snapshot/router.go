package snapshot

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// routerLayer computes what the routers of one scope need: the servers of the
// Gateways that select them and, unlike for sidecars, only the hosts that
// their routes lead to.
type routerLayer struct {
	memo     *Memo
	scope    mesh.Scope
	workload *registry.Workload // one of its Pods; those of a scope have the same labels

	virtual  routerHosts
	hosts    map[string]destination
	behind   map[string][]string // destinations by the host that serves them, where that is another
	rest     []*Resource
	secrets  *namedSecrets
	findings []object.Finding
	revision *Revision
}

// destination is the clusters and endpoints of a host that routes lead to.
type destination struct {
	serving   string // the host whose endpoints they are: the host itself, or what it is an alias of
	resources []*Resource
	findings  []object.Finding
	uses      uses
}

func newRouterLayer(memo *Memo, scope mesh.Scope, of *registry.Workload, w *mesh.World) *routerLayer {
	r := &routerLayer{memo: memo, scope: scope, workload: of, hosts: map[string]destination{}, secrets: newNamedSecrets(scope.Namespace, memo.intern)}
	r.update(w, nil)
	return r
}

// update brings the layer to the world. dirty nil means from nothing.
func (r *routerLayer) update(w *mesh.World, dirty *mesh.Dirty) {
	if dirty == nil || r.concerned(dirty) {
		r.build(w)
		return
	}
	view := w.View(r.scope)
	var put []*Resource
	again := func(host string) {
		if old, ours := r.hosts[host]; ours {
			r.hosts[host] = r.destination(view, host)
			r.memo.release(old.uses)
			put = append(put, r.hosts[host].resources...)
		}
	}
	for host, touch := range dirty.Hosts {
		if touch == mesh.TouchEndpoints {
			again(host)
			for _, alias := range r.behind[host] {
				again(alias)
			}
		}
	}
	r.revision = r.revision.With(put)
}

// concerned tells whether more than the endpoints of a destination changed.
func (r *routerLayer) concerned(dirty *mesh.Dirty) bool {
	if dirty.All || dirty.Gateways || len(dirty.Inbound) > 0 {
		return true
	}
	for host := range r.hosts {
		if dirty.Hosts[host] == mesh.TouchHost {
			return true
		}
	}
	_, moved := dirty.Workloads[r.workload.Ref]
	return moved || r.secrets.concerns(dirty.Secrets)
}

// build computes the layer from nothing.
func (r *routerLayer) build(w *mesh.World) {
	view := w.View(r.scope)
	x := w.Workload(r.workload.Namespace, r.workload.Name)
	if x != nil && w.ScopeOf(&mesh.Proxy{Role: mesh.RoleRouter, Workload: x, Unprivileged: r.scope.Unprivileged}) == r.scope { // else it looks at another layer now
		r.workload = x
	}
	r.findings, r.secrets.findings = nil, nil
	in := translate.GatewayInput{View: view, Workload: r.workload, Has: func(name string) bool { return r.secrets.resource(w, name) != nil }}
	extra := translate.ResolvePolicies(&in)
	plan := translate.Gateway(in)
	_, conflicts := view.ClientCertificate()
	plan.Findings = append(plan.Findings, conflicts...)
	plan.Destinations = append(plan.Destinations, extra.Destinations...)
	r.findings = append(append(r.findings, plan.Findings...), extra.Findings...)
	r.release()
	r.rest, r.hosts, r.behind = nil, map[string]destination{}, map[string][]string{}
	add := func(res *Resource, findings []object.Finding) {
		r.findings = append(r.findings, findings...)
		if res != nil {
			r.rest = append(r.rest, r.memo.intern.Intern(res))
		}
	}
	for _, l := range plan.Listeners {
		add(encode(Listener, l.Name, l.Listener, l.Owners...))
	}
	for _, name := range plan.Frames {
		add(encode(RouteConfig, name, translate.RouteFrame(name)))
	}
	r.virtual = r.virtual.update(plan.Hosts, r.memo.intern)
	told := map[*object.Finding]struct{}{} // hosts share those of their rules
	for _, h := range plan.Hosts {
		vh := r.virtual[h.Name]
		if len(vh.findings) > 0 {
			if _, done := told[&vh.findings[0]]; !done {
				told[&vh.findings[0]] = struct{}{}
				r.findings = append(r.findings, vh.findings...)
			}
		}
		if vh.resource != nil {
			r.rest = append(r.rest, vh.resource)
		}
	}
	for _, c := range append(translate.BasicClusters(w.Config), extra.Clusters...) {
		add(encode(Cluster, c.Name, c))
	}
	secrets := plan.Secrets
	for _, host := range plan.Destinations {
		if _, done := r.hosts[host]; done {
			continue
		}
		d := r.destination(view, host)
		r.hosts[host] = d
		if d.serving != host {
			r.behind[d.serving] = append(r.behind[d.serving], host)
		}
		r.findings = append(r.findings, d.findings...)
		for _, in := range translate.ResolveDestination(view, host) {
			secrets = append(secrets, translate.ClusterSecrets(in, false)...)
		}
		for _, k := range translate.KeptDestination(view, host) {
			secrets = append(secrets, translate.ClusterSecrets(k.Input, true)...)
		}
	}
	r.rest = append(r.rest, r.secrets.resources(w, secrets)...)
	r.findings = append(r.findings, r.secrets.findings...)
	r.replace()
}

// release lets go of what the layer was made of.
func (r *routerLayer) release() {
	for _, d := range r.hosts {
		r.memo.release(d.uses)
	}
}

// replace makes the revision of what the layer holds, sharing with the one
// before what did not change.
func (r *routerLayer) replace() {
	put := slices.Clone(r.rest)
	for _, d := range r.hosts {
		put = append(put, d.resources...)
	}
	var gone []Key
	for t := range NumTypes {
		for old := range r.revision.All(t) {
			gone = append(gone, Key{t, old.Name})
		}
	}
	r.revision = r.revision.With(put, without(gone, put)...)
}

// destination builds the clusters and endpoints of a host, and of the one that
// it stands for.
func (r *routerLayer) destination(v *mesh.View, host string) (d destination) {
	d.serving = host
	for _, in := range translate.ResolveDestination(v, host) {
		d.serving = in.Service.Host
		_, endpoints := v.Service(in.Service.Host)
		resources, more := r.memo.cluster(&d.uses, in, endpoints, v)
		d.resources = append(d.resources, resources...)
		d.findings = append(d.findings, more...)
	}
	for _, k := range translate.KeptDestination(v, host) {
		resources, _ := r.memo.cluster(&d.uses, k.Input, k.Endpoints, v)
		d.resources = append(d.resources, resources...)
	}
	return d
}
