package snapshot

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// inboundLayer is what the workloads of one shape accept. Its input says all
// that it depends on, so that it never changes: a workload that accepts
// something else looks at another layer.
type inboundLayer struct {
	accepts  mesh.Inbound
	revision *Revision
	findings []object.Finding
	// ofServices are those about Services and Sidecars that lead to the workloads.
	ofServices []object.Finding
}

// enterInbound is the layer for what a workload accepts, with one more user.
func (e *Engine) enterInbound(in mesh.Inbound, findings []object.Finding) *inboundLayer {
	if p := e.inbounds.enter(in); p != nil {
		// What loses is no part of the layer.
		e.untold = e.untold || !slices.Equal(p.layer.ofServices, findings)
		p.layer.ofServices = findings
		return p.layer
	}
	l := newInbound(e.memo, in, findings)
	e.untold = e.untold || len(l.findings)+len(l.ofServices) > 0
	return e.inbounds.add(in, l, Stack{}).layer
}

// leanFrom is the size in bytes from which a resource that one workload alone has
// is made again when it is sent.
const leanFrom = 4 << 10

func newInbound(memo *Memo, in mesh.Inbound, findings []object.Finding) *inboundLayer {
	out := translate.Inbound(in)
	l := &inboundLayer{accepts: in, findings: out.Findings, ofServices: findings}
	resources, more := inboundResources(in, out)
	l.findings = append(l.findings, more...)
	for i, r := range resources {
		if len(r.entry) < leanFrom {
			resources[i] = memo.intern.Intern(r) // the clusters of a port are alike everywhere
		} else {
			resources[i] = r.without(inboundPart{l, i}) // only the proxies of one workload get it, and hardly ever again
		}
	}
	l.revision = NewRevision(resources...)
	return l
}

// inboundPart is one of the resources of a layer, as a source.
type inboundPart struct {
	layer *inboundLayer
	at    int
}

// resource implements source.
func (p inboundPart) resource() *Resource {
	again, _ := inboundResources(p.layer.accepts, translate.Inbound(p.layer.accepts))
	return again[p.at]
}

// inboundResources are what was translated, encoded, in a fixed order.
func inboundResources(in mesh.Inbound, out translate.InboundOutput) (resources []*Resource, findings []object.Finding) {
	add := func(r *Resource, more []object.Finding) {
		findings = append(findings, more...)
		if r != nil {
			resources = append(resources, r)
		}
	}
	var refs []object.Ref
	for _, p := range in.AuthorizationPolicies.Slice() {
		refs = append(refs, p.Ref)
	}
	for _, p := range in.RequestAuthentications.Slice() {
		refs = append(refs, p.Ref)
	}
	for _, x := range out.Listeners {
		add(encode(Listener, x.Name, x, refs...))
	}
	for _, c := range out.Clusters {
		add(encode(Cluster, c.Name, c))
	}
	return resources, findings
}

// accept moves sidecars to other inbound layers whose workloads accept
// something else than before.
func (e *Engine) accept(dirty *mesh.Dirty) {
	_, everywhere := dirty.Inbound[""]
	everywhere = everywhere || dirty.All
	if !everywhere && len(dirty.Inbound) == 0 && len(dirty.Workloads) == 0 && len(dirty.Selectors) == 0 {
		return
	}
	for _, a := range e.connected() {
		w := a.proxy.Workload
		_, near := dirty.Inbound[w.Namespace]
		_, itself := dirty.Workloads[w.Ref]
		_, selected := dirty.Selectors[w.Namespace]
		stranger := selected && e.world.Workload(w.Namespace, w.Name) == nil
		if a.inbound == nil || !everywhere && !near && !itself && !stranger {
			continue
		}
		in, findings := e.world.InboundOf(w)
		e.mu.Lock()
		if _, there := e.proxies[a]; there {
			before := a.inbound
			a.inbound = e.enterInbound(in, findings)
			e.inbounds.leave(before.accepts)
		}
		e.mu.Unlock()
	}
}
