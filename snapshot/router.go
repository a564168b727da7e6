package snapshot

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// routerLayer computes what the routers of one scope need: the servers of the
// Gateways that select them and, unlike for sidecars, only the hosts that
// their routes lead to.
type routerLayer struct {
	memo     *Memo
	scope    mesh.Scope
	workload *mesh.Workload // one of its Pods; those of a scope have the same labels

	hosts    map[string][]*Resource // clusters and endpoints by destination
	rest     []*Resource
	secrets  []mesh.Ref           // Secrets that its listeners and clusters need
	good     map[string]*Resource // the last good secret of each name
	findings []mesh.Finding
	revision *Revision
	users    int
}

func newRouterLayer(memo *Memo, scope mesh.Scope, w *mesh.Workload) *routerLayer {
	return &routerLayer{memo: memo, scope: scope, workload: w, hosts: map[string][]*Resource{}, good: map[string]*Resource{}}
}

// update brings the layer to the world. dirty nil means from nothing.
func (r *routerLayer) update(w *mesh.World, dirty *mesh.Dirty) {
	if dirty == nil || r.concerned(dirty) {
		r.build(w)
		return
	}
	view := w.View(r.scope)
	var put []*Resource
	for host, touch := range dirty.Hosts {
		if _, ours := r.hosts[host]; ours && touch == mesh.TouchEndpoints {
			r.hosts[host], _ = r.destination(view, host)
			put = append(put, r.hosts[host]...)
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
	return moved || slices.ContainsFunc(r.secrets, func(s mesh.Ref) bool { _, ok := dirty.Secrets[s]; return ok })
}

// build computes the layer from nothing.
func (r *routerLayer) build(w *mesh.World) {
	view := w.View(r.scope)
	if x := w.Workload(r.workload.Namespace, r.workload.Name); x != nil {
		r.workload = x
	}
	r.findings = nil
	in := translate.GatewayInput{View: view, Workload: r.workload, Has: func(name string) bool { return r.secret(w, name) != nil }}
	extra := translate.ResolvePolicies(&in)
	plan := translate.Gateway(in)
	plan.Destinations = append(plan.Destinations, extra.Destinations...)
	r.findings = append(append(r.findings, plan.Findings...), extra.Findings...)
	r.rest, r.hosts = nil, map[string][]*Resource{}
	add := func(res *Resource, findings []mesh.Finding) {
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
	for _, vh := range plan.VirtualHosts {
		add(encode(VirtualHost, vh.Name, vh.VirtualHost, vh.Owners...))
	}
	for _, c := range append(translate.BasicClusters(w.Config), extra.Clusters...) {
		add(encode(Cluster, c.Name, c))
	}
	secrets := plan.Secrets
	for _, host := range plan.Destinations {
		if _, done := r.hosts[host]; done {
			continue
		}
		resources, findings := r.destination(view, host)
		r.hosts[host] = resources
		r.findings = append(r.findings, findings...)
		for _, in := range translate.ResolveDestination(view, host) {
			secrets = append(secrets, translate.RuleSecrets(in.Rule)...)
		}
	}
	slices.Sort(secrets)
	r.addSecrets(w, slices.Compact(secrets))
	r.replace()
}

// replace makes the revision of what the layer holds, sharing with the one
// before what did not change.
func (r *routerLayer) replace() {
	put := slices.Clone(r.rest)
	for _, resources := range r.hosts {
		put = append(put, resources...)
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
func (r *routerLayer) destination(v *mesh.View, host string) (out []*Resource, findings []mesh.Finding) {
	for _, in := range translate.ResolveDestination(v, host) {
		_, endpoints := v.Service(in.Service.Host)
		resources, more := r.memo.cluster(in, endpoints, v)
		out = append(out, resources...)
		findings = append(findings, more...)
	}
	return out, findings
}

// secret is the SDS secret of a name, made of the Secrets of the router's own
// namespace: the last good one when there is none now that serves; nil when
// there never was.
func (r *routerLayer) secret(w *mesh.World, name string) *Resource {
	secret, findings := translate.NamedSecret(w, name, r.scope.Namespace)
	r.findings = append(r.findings, findings...)
	if secret == nil {
		return r.good[name]
	}
	if res, _ := encode(Secret, name, secret, translate.SecretRefs(name, r.scope.Namespace)...); res != nil && !res.Same(r.good[name]) {
		r.good[name] = res
	}
	return r.good[name]
}

// addSecrets adds the secrets that listeners and clusters name, and forgets
// others.
func (r *routerLayer) addSecrets(w *mesh.World, names []string) {
	r.secrets = nil
	for _, name := range names {
		r.secrets = append(r.secrets, translate.SecretRefs(name, r.scope.Namespace)...)
		if res := r.secret(w, name); res != nil {
			r.rest = append(r.rest, res)
		}
	}
	for name := range r.good {
		if !slices.Contains(names, name) {
			delete(r.good, name)
		}
	}
}
