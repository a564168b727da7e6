package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
)

// touch marks a host whose record has to be made again.
func (b *builder) touch(host string, t Touch) {
	if b.touched[host] < t {
		b.touched[host] = t
	}
}

func (b *builder) service(ref Ref, o *corev1.Service) {
	old := b.services[ref.Namespace][ref.Name]
	var next *Service
	if o != nil {
		next = kubernetesService(o, Domain)
		if next.Distribution == "" {
			next.Distribution = distributionAnnotation(map[string]string{"networking.istio.io/traffic-distribution": b.world.spaces[ref.Namespace][spaceDistribution]})
		}
		if next.Distribution == "Any" {
			next.Distribution = ""
		}
	}
	if o == nil {
		remove(b.services, ref.Namespace, ref.Name)
		delete(b.raw, ref)
	} else {
		put(b.services, ref.Namespace, ref.Name, next)
		b.raw[ref] = o
	}
	for _, s := range []*Service{old, next} {
		if s != nil {
			b.touch(s.Host, TouchHost)
		}
	}
	b.select_(old, next)
	b.alias(old, next)
	b.setAsks(ref, asksOfService(next))
}

// spaceDistribution is where a namespace's traffic distribution is kept among
// its labels; no label can have the name.
const spaceDistribution = "\x00distribution"

func asksOfService(s *Service) []ask {
	if s == nil {
		return nil
	}
	var out []ask
	if s.Distribution != "" {
		out = append(out, ask{locality: true})
	}
	if s.LocalOnly || s.Distribution == "PreferSameNode" {
		out = append(out, ask{node: true})
	}
	return out
}

// select_ keeps the index of services by what they select, and marks the
// workloads that either service selects.
func (b *builder) select_(old, next *Service) {
	for _, s := range []*Service{old, next} {
		if s == nil || len(s.Selector) == 0 {
			continue
		}
		key := s.Namespace + "/" + s.Host + "/" + s.Ref.String()
		if s == next {
			b.world.selecting = b.world.selecting.Set(key, s)
		} else {
			b.world.selecting = b.world.selecting.Delete(key)
		}
		for _, p := range b.pods[s.Namespace] {
			if selects(s.Selector, p.Labels) {
				b.dirty.Workloads[Ref{KindPod, p.Namespace, p.Name}] = struct{}{}
			}
		}
	}
}

// alias keeps the index of names that stand for other hosts, and marks the
// hosts at the end of both chains: their virtual hosts answer to the name.
func (b *builder) alias(old, next *Service) {
	for _, s := range []*Service{old, next} {
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

func (b *builder) pod(ref Ref, o *corev1.Pod) {
	key := ref.Namespace + "/" + ref.Name
	old, _ := b.world.workloads.Get(key)
	var next *Workload
	if o != nil {
		next = podWorkload(o, b.nodes[o.Spec.NodeName])
		put(b.pods, ref.Namespace, ref.Name, o)
	} else {
		remove(b.pods, ref.Namespace, ref.Name)
	}
	b.workload(key, old, next)
}

// workload replaces a Pod or WorkloadEntry and marks the hosts that it serves
// or served.
func (b *builder) workload(key string, old, next *Workload) {
	if old == nil && next == nil || old != nil && next != nil && old.sameAs(next) {
		return
	}
	if old != nil {
		for _, a := range old.Addresses {
			if x, _ := b.world.addresses.Get(a.String()); x == old {
				b.world.addresses = b.world.addresses.Delete(a.String())
			}
		}
	}
	if next == nil {
		b.world.workloads = b.world.workloads.Delete(key)
	} else {
		b.world.workloads = b.world.workloads.Set(key, next)
		for _, a := range next.Addresses {
			b.world.addresses = b.world.addresses.Set(a.String(), next)
		}
	}
	for _, w := range []*Workload{old, next} {
		if w == nil {
			continue
		}
		if old == nil || next == nil || !old.sameIdentity(next) {
			b.dirty.Workloads[w.Ref] = struct{}{}
		}
		for _, s := range b.world.ServicesOf(w) {
			b.touch(s.Host, TouchEndpoints)
		}
	}
	w := next
	if w == nil {
		w = old
	}
	for sk, list := range b.slices { // slices of services without a selector may name the Pod
		ns, name, _ := strings.Cut(sk, "/")
		if ns != w.Namespace {
			continue
		}
		if s := b.services[ns][name]; s != nil && len(s.Selector) == 0 && slicesName(list, w) {
			b.touch(s.Host, TouchEndpoints)
		}
	}
}

func slicesName(list map[string]*discoveryv1.EndpointSlice, w *Workload) bool {
	for _, sl := range list {
		for _, ep := range sl.Endpoints {
			if ep.TargetRef != nil && ep.TargetRef.Name == w.Name || len(ep.Addresses) > 0 && ep.Addresses[0] == w.Address() {
				return true
			}
		}
	}
	return false
}

// sameAs tells whether two workloads are alike in all that matters.
func (w *Workload) sameAs(o *Workload) bool {
	return w.sameIdentity(o) && w.Created.Equal(o.Created) && w.Ready == o.Ready && w.Terminating == o.Terminating && w.Weight == o.Weight
}

// sameIdentity tells whether two workloads differ at most in readiness.
func (w *Workload) sameIdentity(o *Workload) bool {
	return maps.Equal(w.Labels, o.Labels) && slices.Equal(w.Addresses, o.Addresses) && w.Hostname == o.Hostname && w.ServiceAccount == o.ServiceAccount &&
		w.Node == o.Node && w.Locality == o.Locality && w.Network == o.Network && w.Owner == o.Owner && w.PodHostname == o.PodHostname &&
		w.Subdomain == o.Subdomain && maps.Equal(w.Ports, o.Ports) && slices.Equal(w.Listening, o.Listening) && maps.Equal(w.Annotations, o.Annotations)
}

func (b *builder) node(ref Ref, o *corev1.Node) {
	old := b.nodes[ref.Name]
	if o == nil {
		delete(b.nodes, ref.Name)
	} else {
		b.nodes[ref.Name] = o
	}
	if old != nil && o != nil && maps.Equal(old.Labels, o.Labels) {
		return
	}
	for _, pods := range b.pods {
		for _, p := range pods {
			if p.Spec.NodeName == ref.Name {
				b.pod(Ref{KindPod, p.Namespace, p.Name}, p)
				b.dirty.Scopes = true
			}
		}
	}
}

func (b *builder) namespace(ref Ref, o *corev1.Namespace) {
	labels := map[string]string{}
	if o != nil {
		maps.Copy(labels, o.Labels)
		if d := distributionAnnotation(o.Annotations); d != "" {
			labels[spaceDistribution] = d
		}
	}
	old := b.world.spaces[ref.Name]
	if maps.Equal(old, labels) {
		return
	}
	b.world.spaces = maps.Clone(b.world.spaces)
	b.world.spaces[ref.Name] = labels
	b.rediscover(ref.Name)
	if old[spaceDistribution] != labels[spaceDistribution] {
		for name := range b.services[ref.Name] {
			r := Ref{KindService, ref.Name, name}
			b.service(r, b.raw[r])
		}
	}
}

func (b *builder) slice(ref Ref, o *discoveryv1.EndpointSlice) {
	for key, m := range b.slices { // a slice may move to another service
		if _, ok := m[ref.Name]; ok && strings.HasPrefix(key, ref.Namespace+"/") {
			remove(b.slices, key, ref.Name)
			b.touchService(key)
		}
	}
	if o == nil {
		return
	}
	name := o.Labels[discoveryv1.LabelServiceName]
	if name == "" || o.Labels[discoveryv1.LabelManagedBy] == "endpointslice-controller.k8s.io" {
		return // the endpoints of a service with a selector come from its Pods
	}
	key := ref.Namespace + "/" + name
	put(b.slices, key, ref.Name, o)
	b.touchService(key)
}

func (b *builder) touchService(key string) {
	ns, name, _ := strings.Cut(key, "/")
	if s := b.services[ns][name]; s != nil && len(s.Selector) == 0 {
		b.touch(s.Host, TouchEndpoints)
	}
}

func (b *builder) serviceEntry(ref Ref, o *networkingv1.ServiceEntry) {
	old := b.seByRef[ref]
	var next *serviceEntry
	if o != nil {
		next = parseServiceEntry(o, Domain)
		b.seByRef[ref] = next
		b.found(ref, next.findings)
	} else {
		delete(b.seByRef, ref)
		b.found(ref, nil)
	}
	if old != nil {
		for _, s := range old.services {
			delete(b.declared[s.Host], ref)
			if len(b.declared[s.Host]) == 0 {
				delete(b.declared, s.Host)
			}
			b.touch(s.Host, TouchHost)
		}
	}
	if next != nil {
		for _, s := range next.services {
			if b.declared[s.Host] == nil {
				b.declared[s.Host] = map[Ref]*serviceEntry{}
			}
			b.declared[s.Host][ref] = next
			b.touch(s.Host, TouchHost)
		}
	}
	b.selectEntries(old, next)
	var asks []ask
	if next != nil && len(next.services) > 0 {
		asks = asksOfService(next.services[0])
	}
	b.setAsks(ref, asks)
}

// selectEntries keeps the index of services by what they select for
// ServiceEntries with a workloadSelector.
func (b *builder) selectEntries(old, next *serviceEntry) {
	for _, se := range []*serviceEntry{old, next} {
		if se == nil || se.selector == nil {
			continue
		}
		for _, s := range se.services {
			s.Selector = se.selector
			if se == next {
				b.select_(nil, s)
			} else {
				b.select_(s, nil)
			}
		}
	}
}

func (b *builder) workloadEntry(ref Ref, o *networkingv1.WorkloadEntry) {
	key := string(KindWorkloadEntry) + "/" + ref.Namespace + "/" + ref.Name
	old := b.entries[ref.Namespace][ref.Name]
	var next *Workload
	if o != nil {
		next = entryWorkload(&o.Spec, ref, o.Labels, o.CreationTimestamp.Time)
		put(b.entries, ref.Namespace, ref.Name, next)
	} else {
		remove(b.entries, ref.Namespace, ref.Name)
	}
	b.workload(key, old, next)
}

// settleHosts makes the records of the hosts that were touched, and marks
// what depends on them.
func (b *builder) settleHosts() {
	for _, name := range slices.Sorted(maps.Keys(b.touched)) {
		old := b.world.Host(name)
		next := b.record(name)
		t := compareHosts(old, next)
		b.indexAddresses(old, next)
		if next == nil {
			b.world.hosts = b.world.hosts.Delete(name)
		} else if t != TouchNone {
			b.world.hosts = b.world.hosts.Set(name, next)
		}
		if t == TouchHost {
			b.dirtyHost(name)
		} else if t == TouchEndpoints {
			b.dirty.host(name, t)
		}
	}
	clear(b.touched)
}

// dirtyHost marks the host and all that reads more of it than its endpoints:
// names that stand for it, hosts whose routes lead to it, and patterns that a
// VirtualService names and that it could make one of.
func (b *builder) dirtyHost(name string) {
	if _, done := b.spread[name]; done {
		return
	}
	b.spread[name] = struct{}{}
	b.dirty.host(name, TouchHost)
	b.dirtySharers(name)
	for _, alias := range b.world.AliasesOf(name) {
		b.dirtyHost(alias)
	}
	for _, owner := range nameOwners(b.world.hosts, name) { // the name is short for them, unless it is a host
		b.dirty.host(owner, TouchHost)
	}
	for _, vs := range b.world.Referrers(name) {
		b.dirtyRoute(vs, false)
	}
	wildcardsOf(name, func(pattern string) bool {
		if _, ok := b.world.routes.Get(pattern); ok {
			b.dirty.host(pattern, TouchHost)
		}
		return true
	})
}

// nameOwners are the hosts that the name could be short for.
func nameOwners(hosts persist.Map[string, *Host], name string) []string {
	base := strings.TrimSuffix(name, ".svc")
	if strings.Count(base, ".") == 1 {
		if full := base + ".svc." + Domain; full != name {
			return []string{full}
		}
		return nil
	}
	if strings.Contains(name, ".") || name == "" || IsWildcard(name) {
		return nil
	}
	var out []string
	for full := range persist.Prefix(hosts, name+".") {
		out = append(out, full)
	}
	return out
}

// indexAddresses keeps the index of hosts by their addresses, and marks the
// others that declare one of those that change.
func (b *builder) indexAddresses(old, next *Host) {
	addresses := func(h *Host) map[string]bool {
		m := map[string]bool{}
		if h != nil {
			for _, s := range h.Services {
				for _, p := range s.Addresses {
					if p.IsSingleIP() {
						m[p.Addr().String()] = true
					}
				}
			}
		}
		return m
	}
	was, is := addresses(old), addresses(next)
	for _, change := range []struct {
		from, to map[string]bool
		host     *Host
	}{{was, is, old}, {is, was, next}} {
		for a := range change.from {
			if change.to[a] {
				continue
			}
			b.world.vips = member(b.world.vips, a, change.host.Name, change.host == next)
			others, _ := b.world.vips.Get(a)
			for _, o := range others {
				if o != change.host.Name {
					b.dirty.host(o, TouchHost)
				}
			}
		}
	}
}

// dirtyTargets marks the hosts that dirty names stand for: a virtual host
// answers to the aliases of its host as well.
func (b *builder) dirtyTargets() {
	for _, name := range slices.Collect(maps.Keys(b.dirty.Hosts)) {
		seen := map[string]bool{}
		for h := b.world.Host(name); h != nil && h.Services[0].Alias != "" && !seen[h.Name]; h = b.world.Host(h.Services[0].Alias) {
			seen[h.Name] = true
			b.dirty.host(h.Services[0].Alias, TouchHost)
		}
	}
	b.dirtyBackends()
}

// dirtySharers marks the other hosts that declare an address of the host: what
// the one serves there, the others do not.
func (b *builder) dirtySharers(name string) {
	h := b.world.Host(name)
	if h == nil {
		return
	}
	for _, s := range h.Services {
		for _, p := range s.Addresses {
			if !p.IsSingleIP() {
				continue
			}
			sharers, _ := b.world.vips.Get(p.Addr().String())
			for _, o := range sharers {
				b.dirty.host(o, TouchHost)
			}
		}
	}
}

// record gathers all services that declare the host.
func (b *builder) record(name string) *Host {
	h := &Host{Name: name}
	if base, ok := strings.CutSuffix(name, ".svc."+Domain); ok {
		if svc, ns, ok := strings.Cut(base, "."); ok {
			if s := b.services[ns][svc]; s != nil {
				h.add(s, newEndpointSet(b.serviceEndpoints(s)))
			}
		}
	}
	entries := slices.SortedFunc(maps.Values(b.declared[name]), func(a, c *serviceEntry) int {
		return older(a.created, a.ref, c.created, c.ref)
	})
	for _, se := range entries {
		i := slices.IndexFunc(se.services, func(s *Service) bool { return s.Host == name })
		b.addEntry(h, se.services[i], b.entryEndpoints(se, se.services[i]))
	}
	if len(h.Services) == 0 {
		return nil
	}
	return h
}

func (h *Host) add(s *Service, e *EndpointSet) {
	h.Services = append(h.Services, s)
	h.Endpoints = append(h.Endpoints, e)
}

// addEntry adds a ServiceEntry's service to the host; ports of an entry that
// is otherwise like an older one of the same namespace are merged into that.
func (b *builder) addEntry(h *Host, s *Service, endpoints []Endpoint) {
	for i, x := range h.Services {
		if x.Kubernetes() || x.Namespace != s.Namespace {
			continue
		}
		if x.Resolution != s.Resolution || x.External != s.External || !maps.Equal(x.Labels, s.Labels) || !maps.Equal(x.Selector, s.Selector) || !x.ExportTo.equal(s.ExportTo) {
			return // the older one of the namespace counts
		}
		merged := *x
		merged.Ports = slices.Clone(x.Ports)
		merged.More = append(slices.Clone(x.More), s.Ref)
		for _, p := range s.Ports {
			if merged.Port(p.Number) == nil {
				merged.Ports = append(merged.Ports, p)
			}
		}
		for _, a := range s.Addresses {
			if !slices.Contains(merged.Addresses, a) {
				merged.Addresses = append(slices.Clone(merged.Addresses), a)
			}
		}
		list := realign(h.Endpoints[i].Endpoints, x, &merged)
		list = append(list, realign(endpoints, s, &merged)...)
		h.Services[i], h.Endpoints[i] = &merged, newEndpointSet(list)
		return
	}
	h.add(s, newEndpointSet(endpoints))
}

// realign maps endpoints of one service to the ports of another that has at
// least the same ports.
func realign(list []Endpoint, from, to *Service) []Endpoint {
	out := slices.Clone(list)
	for i, e := range out {
		ports := make([]uint32, len(to.Ports))
		for j, p := range from.Ports {
			if k := to.PortIndex(p.Number); k >= 0 && to.Ports[k].Name == p.Name {
				ports[k] = e.Ports[j]
			}
		}
		out[i].Ports = ports
	}
	return out
}

// serviceEndpoints are the endpoints of a Kubernetes Service.
func (b *builder) serviceEndpoints(s *Service) []Endpoint {
	var out []Endpoint
	if s.Resolution == ResolutionAlias {
		return nil
	}
	if len(s.Selector) == 0 {
		list := slices.SortedFunc(maps.Values(b.slices[s.Namespace+"/"+s.Name]), func(x, y *discoveryv1.EndpointSlice) int { return cmp.Compare(x.Name, y.Name) })
		return sliceEndpoints(s, list, b.podAt)
	}
	for _, p := range b.pods[s.Namespace] {
		if !selects(s.Selector, p.Labels) {
			continue
		}
		w, _ := b.world.workloads.Get(p.Namespace + "/" + p.Name)
		if w == nil {
			continue
		}
		if e, ok := podEndpoint(s, w); ok {
			out = append(out, e)
		}
	}
	for _, w := range b.entries[s.Namespace] {
		if !selects(s.Selector, w.Labels) {
			continue
		}
		if e, ok := entryEndpoint(s, w); ok {
			out = append(out, e)
		}
	}
	return out
}

// podAt finds the Pod behind an address of an EndpointSlice.
func (b *builder) podAt(ns, pod, ip string) *Workload {
	if pod != "" {
		if w, ok := b.world.workloads.Get(ns + "/" + pod); ok {
			return w
		}
	}
	if w, ok := b.world.addresses.Get(ip); ok && w.Namespace == ns {
		return w
	}
	return nil
}

// entryEndpoints are the endpoints of a ServiceEntry's service.
func (b *builder) entryEndpoints(se *serviceEntry, s *Service) []Endpoint {
	var out []Endpoint
	add := func(w *Workload) {
		if e, ok := entryEndpoint(s, w); ok {
			out = append(out, e)
		}
	}
	if se.selector != nil {
		for _, w := range b.entries[s.Namespace] {
			if selects(se.selector, w.Labels) {
				add(w)
			}
		}
		for _, p := range b.pods[s.Namespace] {
			w, _ := b.world.workloads.Get(p.Namespace + "/" + p.Name)
			if w != nil && !w.Terminating && selects(se.selector, w.Labels) {
				add(w)
			}
		}
		return out
	}
	for _, e := range se.inline {
		add(entryWorkload(e, se.ref, nil, se.created))
	}
	if len(out) == 0 && (s.Resolution == ResolutionDNS || s.Resolution == ResolutionDNSRoundRobin) && !IsWildcard(s.Host) {
		add(&Workload{Ref: se.ref, Namespace: s.Namespace, Name: s.Host, Owner: s.Host, Hostname: s.Host, Ready: true, ServiceAccount: "default"})
	}
	return out
}

// compareHosts says how deep two records of a host differ.
func compareHosts(old, next *Host) Touch {
	if old == nil || next == nil {
		if old == next {
			return TouchNone
		}
		return TouchHost
	}
	if len(old.Services) != len(next.Services) {
		return TouchHost
	}
	t := TouchNone
	for i, s := range next.Services {
		o, n := old.Endpoints[i], next.Endpoints[i]
		same := s == old.Services[i] || len(s.More) > 0 && s.equal(old.Services[i])
		if same && len(s.More) > 0 {
			next.Services[i] = old.Services[i]
		}
		if !same || o.Identities != n.Identities || o.MutualTLS != n.MutualTLS || s.inCluster() && !o.equal(n) {
			return TouchHost
		}
		if o.equal(n) {
			next.Endpoints[i] = o
		} else {
			t = TouchEndpoints
		}
	}
	return t
}

// inCluster tells whether endpoints of the service are part of what is made of
// the host itself: DNS names stand in clusters, headless addresses in
// listeners.
func (s *Service) inCluster() bool {
	return s.Headless || s.Resolution != ResolutionStatic
}

// equal compares services that were merged anew.
func (s *Service) equal(o *Service) bool {
	return s.Ref == o.Ref && slices.Equal(s.More, o.More) && slices.Equal(s.Ports, o.Ports) && slices.Equal(s.Addresses, o.Addresses) &&
		s.Resolution == o.Resolution && s.External == o.External && s.ExportTo.equal(o.ExportTo) && maps.Equal(s.Labels, o.Labels) &&
		maps.Equal(s.Selector, o.Selector) && slices.Equal(s.SubjectAltNames, o.SubjectAltNames) && s.Distribution == o.Distribution && s.Created.Equal(o.Created)
}
