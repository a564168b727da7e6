package snapshot

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// hostLayer computes the outbound layer of one scope of sidecars, host by
// host. One that has a base holds only what differs from it.
type hostLayer struct {
	memo      *Memo
	base      *hostLayer // nil: the layer stands alone
	view      *mesh.View
	reporting telemetry.Reporting
	ipv6      bool
	breathe   func() // called now and then while nobody sees the layer yet; may be nil

	hosts    map[string]*hostState // with a base: hosts that differ
	claims   map[translate.ListenerKey]*claimSet
	ports    map[translate.ListenerKey]*portState // what was built of the claims
	moved    bool                                 // claims changed with the last update
	fixed    []*Resource
	asking   map[string]struct{} // hosts whose state names secrets
	faulty   map[string]struct{} // hosts with findings
	secrets  *namedSecrets       // by rules that select the workloads of the scope
	revision *Revision
}

// hostState is what one host contributes to a layer.
type hostState struct {
	resources []*Resource // with a base: what overrides or hides its own
	claims    []translate.Claim
	// override tells, with a base, that the claims stand in place of those
	// that the base has for the host.
	override bool
	secrets  []translate.SecretUse // SDS secrets that the clusters ask for
	findings []object.Finding
	uses     uses
}

// claimSet is the claims to one listener by host.
type claimSet struct {
	http  map[string]struct{}
	other map[string]translate.Claim
}

// portState is what was built for one listener, and its route configuration.
type portState struct {
	resources []*Resource
	findings  []object.Finding
	uses      uses
}

func newHostLayer(memo *Memo, base *hostLayer, view *mesh.View) *hostLayer {
	return &hostLayer{memo: memo, base: base, view: view, secrets: newNamedSecrets(view.Scope.Namespace, memo.intern), hosts: map[string]*hostState{}, faulty: map[string]struct{}{}, asking: map[string]struct{}{}, claims: map[translate.ListenerKey]*claimSet{}, ports: map[translate.ListenerKey]*portState{}}
}

// units are the names of all hosts that the world could have translated: those
// that services declare, those that VirtualServices name, and those that are
// gone and still served.
func units(w *mesh.World) map[string]mesh.Touch {
	all := make(map[string]mesh.Touch, w.HostCount())
	for name := range w.Hosts() {
		all[name] = mesh.TouchHost
	}
	for name := range w.RouteHosts() {
		all[name] = mesh.TouchHost
	}
	for _, name := range w.KeptHosts() {
		all[name] = mesh.TouchHost
	}
	return all
}

// fill computes the layer from nothing. Its revision begins with the one that
// it replaces, if any, so that what did not change keeps its pointer.
func (l *hostLayer) fill(w *mesh.World) {
	l.setFixed()
	l.update(l.view, units(w))
}

// setFixed makes what every sidecar has, whatever the mesh holds.
func (l *hostLayer) setFixed() {
	if l.base != nil {
		return
	}
	for _, c := range append(translate.BasicClusters(l.view.Config), translate.DynamicClusters(l.view.Config)...) {
		r, _ := encode(Cluster, c.Name, c)
		l.fixed = append(l.fixed, l.memo.intern.Intern(r))
	}
	o := translate.VirtualOutbound(translate.Unclaimed(l.view), translate.UnclaimedRequests(l.view), l.ipv6, l.reporting, l.view.Config)
	r, _ := encode(Listener, o.Name, o)
	l.fixed = append(l.fixed, l.memo.intern.Intern(r))
	l.revision = l.revision.With(l.fixed)
}

// release lets go of what the layer was made of; it must not be updated again.
func (l *hostLayer) release() {
	for _, s := range l.hosts {
		l.memo.release(s.uses)
	}
	for _, s := range l.ports {
		l.memo.release(s.uses)
	}
}

// update brings the layer to the view, in which only the hosts changed. The
// base, if any, has been updated before.
func (l *hostLayer) update(view *mesh.View, dirty map[string]mesh.Touch) {
	l.view = view
	var put []*Resource
	var gone []Key
	keys := map[translate.ListenerKey]struct{}{}
	l.moved = false
	for host, next := range l.states(slices.Sorted(maps.Keys(dirty))) {
		old := l.hosts[host]
		if old != nil {
			for _, r := range old.resources {
				gone = append(gone, Key{r.Type, r.Name})
			}
			l.memo.release(old.uses)
		}
		if next != nil {
			put = append(put, next.resources...)
		}
		if !claimAlike(old, next) {
			l.setClaims(host, old, next, keys)
			l.moved = true
		}
		if next == nil {
			delete(l.hosts, host)
		} else {
			l.hosts[host] = next
		}
		if next == nil || len(next.findings) == 0 {
			delete(l.faulty, host)
		} else {
			l.faulty[host] = struct{}{}
		}
		if next == nil || len(next.secrets) == 0 {
			delete(l.asking, host)
		} else {
			l.asking[host] = struct{}{}
		}
	}
	affected := l.affected(keys)
	for i, next := range l.portsOf(affected) {
		key := affected[i]
		old := l.ports[key]
		if old != nil {
			for _, r := range old.resources {
				gone = append(gone, Key{r.Type, r.Name})
			}
			l.memo.release(old.uses)
		}
		if next == nil {
			delete(l.ports, key)
		} else {
			l.ports[key] = next
			put = append(put, next.resources...)
		}
	}
	more, less := l.credentials()
	put, gone = append(put, more...), append(gone, less...)
	before := l.revision
	l.revision = before.With(put, without(gone, put)...)
	if l.base != nil {
		l.revision = l.revision.over(l.base.revision, before)
	}
}

// credentials are the secrets that the clusters of the layer ask for, and
// those that they asked for before.
func (l *hostLayer) credentials() (put []*Resource, gone []Key) {
	var uses []translate.SecretUse
	for host := range l.asking {
		uses = append(uses, l.hosts[host].secrets...)
	}
	if len(uses)+len(l.secrets.wanted)+len(l.secrets.good)+len(l.secrets.trusted) == 0 {
		return nil, nil
	}
	for name := range l.secrets.good {
		gone = append(gone, Key{Secret, name})
	}
	for name := range l.secrets.trusted {
		gone = append(gone, Key{Secret, name})
	}
	slices.SortFunc(uses, func(a, b translate.SecretUse) int { return cmp.Compare(a.Name, b.Name) })
	l.secrets.findings = nil
	return l.secrets.resources(l.view.World, uses), gone
}

// without are the keys that none of the resources has.
func without(gone []Key, put []*Resource) []Key {
	if len(gone) == 0 {
		return nil
	}
	kept := make(map[Key]struct{}, len(put))
	for _, r := range put {
		kept[Key{r.Type, r.Name}] = struct{}{}
	}
	return slices.DeleteFunc(gone, func(k Key) bool { _, ok := kept[k]; return ok })
}

// host computes what a host contributes; nil for nothing.
func (l *hostLayer) host(host string) *hostState {
	if l.base != nil && l.view.AlikeEverywhere(host, l.base.view.Scope) {
		return nil // the base shows it
	}
	plan := translate.ResolveHost(l.view, host)
	s := &hostState{claims: plan.Claims, findings: plan.Findings}
	if n := len(plan.Clusters) + len(plan.VirtualHosts); n > 0 {
		s.uses = make(uses, 0, n+len(plan.Clusters)) // a cluster mostly has endpoints
	}
	var before []*Resource
	if old := l.hosts[host]; old != nil {
		before = old.resources
	}
	_, endpoints := l.view.Service(host)
	for _, in := range plan.Clusters {
		resources, findings := l.memo.cluster(&s.uses, in, endpoints, l.view)
		s.resources = append(s.resources, resources...)
		s.findings = append(s.findings, findings...)
		s.secrets = append(s.secrets, translate.ClusterSecrets(in, false)...)
	}
	for _, k := range plan.Kept {
		resources, _ := l.memo.cluster(&s.uses, k.Input, k.Endpoints, l.view)
		s.resources = append(s.resources, resources...)
		s.secrets = append(s.secrets, translate.ClusterSecrets(k.Input, true)...)
	}
	for _, in := range plan.VirtualHosts {
		r, findings := l.memo.virtualHost(&s.uses, in, before)
		if r != nil {
			s.resources = append(s.resources, r)
		}
		s.findings = append(s.findings, findings...)
	}
	for _, c := range plan.Claims {
		if c.Kind == translate.ClaimSniffed {
			s.resources = append(s.resources, l.frame(&s.uses, c.RouteConfig))
		}
	}
	if l.base != nil {
		over := s.over(l.base.hosts[host])
		if over == nil {
			l.memo.release(s.uses)
		}
		return over
	}
	if len(s.resources) == 0 && len(s.claims) == 0 && len(s.findings) == 0 {
		l.memo.release(s.uses)
		return nil
	}
	return s
}

type frameKey string

// frame is the frame of a route configuration.
func (l *hostLayer) frame(u *uses, name string) *Resource {
	return l.memo.get(u, frameKey(name), func() (*Resource, []object.Finding) { return encode(RouteConfig, name, translate.RouteFrame(name)) }).resource
}

// over is what the state has to add to that of the base to be seen in its
// place; nil when they are the same.
func (s *hostState) over(base *hostState) *hostState {
	if base == nil {
		base = &hostState{}
	}
	out := &hostState{findings: s.findings, uses: s.uses}
	if !slices.Equal(s.secrets, base.secrets) { // those of the base are of no namespace
		out.secrets = s.secrets
	}
	under := make(map[Key]*Resource, len(base.resources))
	for _, r := range base.resources {
		under[Key{r.Type, r.Name}] = r
	}
	for _, r := range s.resources {
		k := Key{r.Type, r.Name}
		if under[k] != r {
			out.resources = append(out.resources, r)
		}
		delete(under, k)
	}
	for _, r := range base.resources {
		if _, unseen := under[Key{r.Type, r.Name}]; unseen {
			out.resources = append(out.resources, hide(r.Type, r.Name))
		}
	}
	if !slices.EqualFunc(s.claims, base.claims, translate.Claim.Equal) {
		out.claims, out.override = s.claims, true
	}
	if len(out.resources) == 0 && !out.override && len(out.secrets) == 0 {
		return nil
	}
	return out
}
