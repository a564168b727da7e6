package mesh

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func (b *builder) service(ref object.Ref, o *corev1.Service) {
	old := b.services[ref.Namespace][ref.Name]
	var next *registry.Service
	if o != nil {
		next = registry.ParseService(o, object.Domain)
		if next.Distribution == "" {
			next.Distribution = registry.AnnotatedDistribution(map[string]string{"networking.istio.io/traffic-distribution": b.world.spaces[ref.Namespace][spaceDistribution]})
		}
		if next.Distribution == "Any" {
			next.Distribution = ""
		}
	}
	if o == nil {
		remove(b.services, ref.Namespace, ref.Name)
		delete(b.raw, ref)
		b.found(ref, nil)
	} else {
		b.found(ref, registry.CheckService(next, o))
		put(b.services, ref.Namespace, ref.Name, next)
		b.raw[ref] = o
	}
	for _, s := range []*registry.Service{old, next} {
		if s != nil {
			b.touch(s.Host, TouchHost, cause{ref.Namespace, ref.Kind})
		}
	}
	b.select_(old, next)
	b.targetsIn.Add(ref.Namespace)
	b.addressed = true
	b.alias(old, next)
	b.setAsks(ref, asksOfService(next))
	if s := cmp.Or(next, old); s != nil {
		b.api.MarkService(ref, s.Host)
	}
	b.staleIngresses(ref)
}

// spaceDistribution is where a namespace's traffic distribution is kept among
// its labels; no label can have the name.
const spaceDistribution = "\x00distribution"

func asksOfService(s *registry.Service) []traffic.Ask {
	if s == nil {
		return nil
	}
	var out []traffic.Ask
	if s.Distribution != "" {
		out = append(out, traffic.Ask{Locality: true})
	}
	if s.LocalOnly || s.Distribution == "PreferSameNode" {
		out = append(out, traffic.Ask{Node: true})
	}
	return out
}

// select_ keeps the index of services by what they select, and marks the
// workloads that either service selects. Workloads that no object stands for
// are known by their namespace only.
func (b *builder) select_(old, next *registry.Service) {
	for _, s := range []*registry.Service{old, next} {
		if s == nil || s.Selector == nil {
			continue
		}
		key := selectingKey(s)
		if s == next {
			b.world.selecting = b.world.selecting.Set(key, s)
		} else {
			b.world.selecting = b.world.selecting.Delete(key)
		}
		for _, p := range b.pods[s.Namespace] {
			if object.Selects(s.Selector, p.Labels) {
				b.dirty.Workloads[p.Ref] = struct{}{}
			}
		}
		for _, x := range b.entries[s.Namespace] {
			if object.Selects(s.Selector, x.Labels) {
				b.dirty.Workloads[x.Ref] = struct{}{}
			}
		}
		b.dirty.Selectors[s.Namespace] = struct{}{}
	}
}

// alias keeps the index of names that stand for other hosts, and marks the
// hosts at the end of both chains: their virtual hosts answer to the name.
func (b *builder) alias(old, next *registry.Service) {
	for _, s := range []*registry.Service{old, next} {
		if s == nil || s.Alias == "" {
			continue
		}
		b.world.aliases = member(b.world.aliases, s.Alias, s.Host, s == next)
		seen := map[string]bool{s.Host: true}
		for t := s.Alias; !seen[t]; {
			seen[t] = true
			b.dirtyHost(t)
			h := b.world.Host(t)
			if h == nil || h.Services[0].Alias == "" {
				break
			}
			t = h.Services[0].Alias
		}
	}
}

// member puts a name in the sorted list of a key, or takes it out.
func member(m persist.Map[string, []string], key, name string, in bool) persist.Map[string, []string] {
	l, _ := m.Get(key)
	i, found := slices.BinarySearch(l, name)
	switch {
	case found == in:
		return m
	case in:
		return m.Set(key, slices.Insert(slices.Clone(l), i, name))
	case len(l) == 1:
		return m.Delete(key)
	}
	return m.Set(key, slices.Delete(slices.Clone(l), i, i+1))
}

func (b *builder) namespace(ref object.Ref, o *corev1.Namespace) {
	labels := map[string]string{}
	if o != nil {
		maps.Copy(labels, o.Labels)
		if d := registry.AnnotatedDistribution(o.Annotations); d != "" {
			labels[spaceDistribution] = d
		}
	}
	old := b.world.spaces[ref.Name]
	if maps.Equal(old, labels) {
		return
	}
	b.world.spaces = maps.Clone(b.world.spaces)
	if len(labels) > 0 {
		b.world.spaces[ref.Name] = labels
	} else {
		delete(b.world.spaces, ref.Name)
	}
	b.dirty.Status = true
	b.rediscover(ref.Name)
	b.api.MarkNamespaces()
	if old[spaceDistribution] != labels[spaceDistribution] {
		for name := range b.services[ref.Name] {
			r := object.Ref{Kind: object.KindService, Namespace: ref.Name, Name: name}
			b.service(r, b.raw[r])
		}
	}
}

func (b *builder) slice(ref object.Ref, o *discoveryv1.EndpointSlice) {
	if service, ok := b.sliceOf[ref]; ok { // a slice may move to another service
		delete(b.sliceOf, ref)
		of := b.slices[ref.Namespace]
		remove(of, service, ref.Name)
		if len(of) == 0 {
			delete(b.slices, ref.Namespace)
		}
		b.touchService(ref.Namespace, service)
	}
	b.learnZones(ref, o)
	if o == nil {
		return
	}
	name := o.Labels[discoveryv1.LabelServiceName]
	if name == "" || o.Labels[discoveryv1.LabelManagedBy] == "endpointslice-controller.k8s.io" {
		return // the endpoints of a service with a selector come from its Pods
	}
	if b.slices[ref.Namespace] == nil {
		b.slices[ref.Namespace] = map[string]map[string]*discoveryv1.EndpointSlice{}
	}
	put(b.slices[ref.Namespace], name, ref.Name, o)
	b.sliceOf[ref] = name
	b.touchService(ref.Namespace, name)
}

func (b *builder) touchService(ns, name string) {
	if s := b.services[ns][name]; s != nil && len(s.Selector) == 0 {
		b.touch(s.Host, TouchEndpoints, cause{ns, object.KindEndpointSlice})
	}
}
