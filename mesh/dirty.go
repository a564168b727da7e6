package mesh

import "github.com/fairway-mesh/fairway/mesh/object"

// Touch says how deep a change of a host goes.
type Touch uint8

// The depths.
const (
	TouchNone      Touch = iota
	TouchEndpoints       // only endpoints came, went or changed
	TouchHost            // the host or a rule that applies to it changed
)

// Dirty is what a pass of the Store changed, as the units of translation that
// it concerns. What is not named here is as it was.
type Dirty struct {
	All        bool                    // everything, for every proxy
	Hosts      map[string]Touch        // the host as seen from every scope
	Namespaces map[string]struct{}     // everything that the scopes of the namespace see
	Scopes     bool                    // the facts that scopes are made of: ask ScopeOf again for each proxy
	Gateways   bool                    // Gateways, or VirtualServices bound to one
	Inbound    map[string]struct{}     // what the workloads of the namespace accept; "" is every namespace
	Workloads  map[object.Ref]struct{} // Pods that came, went or changed in more than readiness
	Ending     map[object.Ref]struct{} // Pods whose end began
	Selectors  map[string]struct{}     // services of the namespace that select workloads
	Secrets    map[object.Ref]struct{} // Secrets
	Roots      bool                    // which ConfigMaps with roots are named
	Status     bool                    // what objects are told of themselves, or what is read when pods are made, if nothing else

	// Changes are those of objects that are in force since this pass, for people: a route that
	// is held back is among those of the pass that lets it go. The first pass names none.
	Changes []Change
}

func newDirty() *Dirty {
	return &Dirty{Hosts: map[string]Touch{}, Namespaces: map[string]struct{}{}, Inbound: map[string]struct{}{}, Workloads: map[object.Ref]struct{}{}, Ending: map[object.Ref]struct{}{}, Selectors: map[string]struct{}{}, Secrets: map[object.Ref]struct{}{}}
}

// Empty tells whether nothing changed.
func (d *Dirty) Empty() bool {
	return !d.All && !d.Scopes && !d.Gateways && !d.Roots && !d.Status && len(d.Hosts) == 0 && len(d.Namespaces) == 0 && len(d.Inbound) == 0 && len(d.Workloads) == 0 && len(d.Ending) == 0 && len(d.Selectors) == 0 && len(d.Secrets) == 0
}

func (d *Dirty) host(name string, t Touch) {
	if d.Hosts[name] < t {
		d.Hosts[name] = t
	}
}

// Merge adds what another pass changed.
func (d *Dirty) Merge(o *Dirty) {
	d.All = d.All || o.All
	d.Scopes = d.Scopes || o.Scopes
	d.Gateways = d.Gateways || o.Gateways
	d.Roots = d.Roots || o.Roots
	d.Status = d.Status || o.Status
	d.Changes = append(d.Changes, o.Changes...)
	for h, t := range o.Hosts {
		d.host(h, t)
	}
	for k := range o.Namespaces {
		d.Namespaces[k] = struct{}{}
	}
	for k := range o.Inbound {
		d.Inbound[k] = struct{}{}
	}
	for k := range o.Workloads {
		d.Workloads[k] = struct{}{}
	}
	for k := range o.Ending {
		d.Ending[k] = struct{}{}
	}
	for k := range o.Selectors {
		d.Selectors[k] = struct{}{}
	}
	for k := range o.Secrets {
		d.Secrets[k] = struct{}{}
	}
}
