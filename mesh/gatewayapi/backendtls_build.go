package gatewayapi

import (
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// SetBackendTLSPolicy replaces a BackendTLSPolicy; nil takes it away.
func (b *Builder) SetBackendTLSPolicy(ref object.Ref, o *gatewayv1.BackendTLSPolicy) {
	key := ref.Namespace + "/" + ref.Name
	b.recount[key] = struct{}{}
	old := b.next.BackendTLSPolicy(ref)
	is := func(p *BackendTLSPolicy) bool { return p.Ref == ref }
	for _, service := range old.services() {
		b.next.policiesOf = persist.Listed(b.next.policiesOf, service, is, nil, olderPolicy)
		b.staleTLS[service] = struct{}{}
	}
	if old != nil {
		for _, c := range old.bundles {
			at := c.Namespace + "/" + c.Name
			if delete(b.trusting[at], key); len(b.trusting[at]) == 0 {
				delete(b.trusting, at)
			}
		}
	}
	if o == nil {
		b.next.policies = b.next.policies.Delete(key)
		return
	}
	next := parseBackendTLSPolicy(o)
	b.next.policies = b.next.policies.Set(key, next)
	for _, service := range next.services() {
		b.next.policiesOf = persist.Listed(b.next.policiesOf, service, is, &next, olderPolicy)
		b.staleTLS[service] = struct{}{}
	}
	for _, c := range next.bundles {
		at := c.Namespace + "/" + c.Name
		if b.trusting[at] == nil {
			b.trusting[at] = map[string]struct{}{}
		}
		b.trusting[at][key] = struct{}{}
	}
}

// SetBundle replaces what a ConfigMap holds of certificates of authorities; nil takes it
// away.
func (b *Builder) SetBundle(ref object.Ref, o *corev1.ConfigMap) {
	key := ref.Namespace + "/" + ref.Name
	if o == nil {
		b.next.bundles = b.next.bundles.Delete(key)
	} else {
		b.next.bundles = b.next.bundles.Set(key, parseBundle(o))
	}
	b.MarkGateways(func(g *Gateway) bool { return g.trusts(ref) })
	for policy := range b.trusting[key] {
		p, _ := b.next.policies.Get(policy)
		for _, service := range p.services() {
			b.staleTLS[service] = struct{}{}
		}
	}
}

// policiesFor are the policies that name a Service.
func (b *Builder) policiesFor(service string) []*BackendTLSPolicy {
	l, _ := b.next.policiesOf.Get(service)
	return l
}

// SettleBackendTLS makes anew what policies ask for of the Services that are stale. It
// returns which Services, by "namespace/name", are now spoken to in another way, and the
// policies for all of those that were stale.
func (b *Builder) SettleBackendTLS(clusters Clusters) (changed []string, policies []*BackendTLSPolicy) {
	b.settleTrust(clusters)
	for _, service := range slices.Sorted(maps.Keys(b.staleTLS)) {
		policies = append(policies, b.policiesFor(service)...)
		old, _ := b.next.backendTLS.Get(service)
		next := b.next.tlsOf(service)
		same := len(old) == len(next)
		for port, t := range next {
			if reflect.DeepEqual(old[port], t) { // pointers are what translation compares
				next[port] = old[port]
			} else {
				same = false
			}
		}
		if same {
			continue
		}
		changed = append(changed, service)
		if len(next) == 0 {
			b.next.backendTLS = b.next.backendTLS.Delete(service)
		} else {
			b.next.backendTLS = b.next.backendTLS.Set(service, next)
		}
	}
	clear(b.staleTLS)
	return changed, policies
}
