package snapshot

import (
	"maps"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// frame is what all sidecars of a scope hold that learn the rest: the listeners, all that is
// not told apart by the host of a request, and in each route configuration the virtual hosts
// that ask for others. It is made of what the scope's sidecars would see, and says which
// virtual host of that answers to a name.
type frame struct {
	stack    Stack    // of the scope, of which everything here was made
	base     *domains // of what most sidecars see alike; nil: the layer of the scope stands alone
	own      *domains // of the layer of the scope
	revision *Revision
	users    int // sidecars that learn
	of       generations
	// generation grows when a name leads elsewhere than before.
	generation int
	narrower   map[string][]string   // by virtual host with a pattern: those below it; of this generation
	lengths    map[string][]int      // see patternLengths; of this generation
	fixed      *wanted               // what does not depend on names
	open       *wanted               // the rest of the frame
	stubs      map[stubKey]*Resource // by what they were made of
	asked      map[string]struct{}   // route configurations in which hosts are asked for
	changes    []Key                 // what the last update changed of the stack
}

// generations are those of the names of a frame.
type generations struct {
	base          *domains
	ofBase, ofOwn int
}

type stubKey struct {
	of    *Resource
	cover string // for the fallback: the addresses, as text
}

// fallbacks are the names of the virtual hosts for hosts that nothing in the mesh knows.
var fallbacks = []string{"allow_any", "block_all"}

// fallbackOf is that of a route configuration; nil: it has none.
func fallbackOf(s Stack, config string) *Resource {
	for _, name := range fallbacks {
		if r := s.Get(VirtualHost, config+"/"+name); r != nil {
			return r
		}
	}
	return nil
}

// update follows what the sidecars of the scope see.
func (f *frame) update(s Stack, base *domains) {
	if f.own == nil {
		f.own = newDomains()
	}
	f.own.update(s[LayerOutbound])
	now := generations{base, base.generation(), f.own.generation()}
	moved := f.of != now
	if f.base, f.of = base, now; moved {
		f.generation++
		f.narrower, f.lengths = nil, nil
	}
	f.changes = f.changes[:0]
	for t := range NumTypes {
		for _, d := range f.stack.Diff(s, t) {
			f.changes = append(f.changes, Key{t, d.Name})
		}
	}
	f.stack = s
	fixed := f.fixed == nil || slices.ContainsFunc(f.changes, f.standing)
	if fixed || moved || slices.ContainsFunc(f.changes, func(k Key) bool { _, looked := f.open.looked[k]; return looked }) {
		f.derive(fixed)
	}
}

// standing tells whether a change may concern what does not depend on names.
func (f *frame) standing(k Key) bool {
	switch k.Type {
	case ExtensionConfig, Runtime, Listener, RouteConfig:
		return true
	case Cluster:
		if !strings.HasPrefix(k.Name, outboundPrefix) {
			return true
		}
	case VirtualHost:
		if config, _, _ := strings.Cut(k.Name, "/"); f.asked != nil {
			if _, asks := f.asked[config]; !asks {
				return true
			}
		}
	}
	_, looked := f.fixed.looked[k]
	return looked
}

// derive makes the revision: what does not depend on names anew only if that may have changed,
// since there may be thousands of listeners, and each new host is a new name.
func (f *frame) derive(fixed bool) {
	if fixed || f.fixed == nil {
		f.fixed = f.fix()
	}
	before := f.open
	f.open = f.ask()
	for key := range f.open.out {
		if _, there := f.fixed.out[key]; there {
			delete(f.open.out, key)
		}
	}
	if fixed || before == nil {
		all := maps.Clone(f.fixed.out)
		maps.Copy(all, f.open.out)
		f.revision = f.revision.to(all)
		return
	}
	var put []*Resource
	var gone []Key
	for key, r := range f.open.out {
		if before.out[key] != r {
			put = append(put, r)
		}
	}
	for key := range before.out {
		if _, kept := f.open.out[key]; !kept {
			gone = append(gone, key)
		}
	}
	f.revision = f.revision.With(put, gone...)
}

// fix gathers what is the same whatever hosts there are behind a port.
func (f *frame) fix() *wanted {
	w := want(f.stack, f.fixed.names())
	f.asked = map[string]struct{}{}
	for _, t := range []Type{ExtensionConfig, Runtime, Listener, RouteConfig} {
		for r := range f.stack.All(t) {
			w.add(r)
		}
	}
	for r := range f.stack.All(RouteConfig) {
		if fallbackOf(f.stack, r.Name) != nil {
			f.asked[r.Name] = struct{}{}
			continue
		}
		for vh := range f.stack.Prefix(VirtualHost, r.Name+"/") {
			w.add(vh)
		}
	}
	for r := range f.others() {
		w.add(r)
	}
	return w
}

// ask gathers what asks for hosts, and the hosts that are not asked for.
func (f *frame) ask() *wanted {
	w := want(f.stack, f.open.names())
	stubs := map[stubKey]*Resource{}
	for config := range f.asked {
		fallback := fallbackOf(f.stack, config)
		if fallback == nil {
			continue // it has gone with its listener
		}
		for _, stub := range f.stub(config, fallback, stubs) {
			w.add(stub)
		}
		for _, host := range f.ahead(config) {
			w.find(VirtualHost, host)
		}
	}
	f.stubs = stubs
	return w
}

// others are the clusters of no host.
func (f *frame) others() func(func(*Resource) bool) {
	return func(yield func(*Resource) bool) {
		for i, rev := range f.stack {
			if i != LayerOutbound && i != LayerBase {
				continue
			}
			for name, r := range rev.Set(Cluster).All() {
				if strings.HasPrefix(name, outboundPrefix) {
					break
				}
				if f.stack.shown(i, r) && !yield(r) {
					return
				}
			}
			for _, r := range rev.Set(Cluster).From("outbound}") {
				if f.stack.shown(i, r) && !yield(r) {
					return
				}
			}
		}
	}
}

// stub makes the virtual hosts that ask, and that answer when nobody can be asked.
func (f *frame) stub(config string, fallback *Resource, made map[stubKey]*Resource) (out []*Resource) {
	addresses := slices.Concat(f.base.config(config).covered(), f.own.config(config).covered())
	var text strings.Builder
	for _, p := range addresses {
		text.WriteString(p.String() + " ")
	}
	build := func(key stubKey, build func(*routev3.VirtualHost) *routev3.VirtualHost) {
		r := f.stubs[key]
		if r == nil {
			var vh routev3.VirtualHost
			if proto.Unmarshal(fallback.Body(), &vh) != nil { // it was encoded here
				return
			}
			next := build(&vh)
			var err error
			if r, err = NewResource(VirtualHost, next.Name, next); err != nil { // it is made of what could be encoded
				return
			}
			if key.cover == "" {
				r = r.Lease()
			}
		}
		made[key] = r
		out = append(out, r)
	}
	build(stubKey{of: fallback}, func(vh *routev3.VirtualHost) *routev3.VirtualHost { return translate.AskVirtualHost(config, vh) })
	build(stubKey{fallback, "to " + text.String()}, func(vh *routev3.VirtualHost) *routev3.VirtualHost {
		return translate.AwayVirtualHost(vh, addresses)
	})
	return out
}

// mostAhead is how many virtual hosts of a route configuration every sidecar holds since
// requests for them could not be told from others while nobody can be asked.
const mostAhead = 200

// ahead are those, in the order of their names, hosts before patterns. A pattern hides what lies
// below it, so that this comes with it, or the pattern does not.
func (f *frame) ahead(config string) (out []string) {
	var patterns []string
	held := map[string]struct{}{}
	take := func(host string) {
		if strings.Contains(host, "/*") {
			patterns = append(patterns, host)
		} else if len(held) < mostAhead {
			held[host] = struct{}{}
		}
	}
	for _, host := range f.own.config(config).first() {
		take(host)
	}
	for _, host := range f.base.config(config).first() {
		if f.stack[LayerOutbound].Get(VirtualHost, host) == nil {
			take(host)
		}
	}
	slices.Sort(patterns)
	for _, host := range patterns[:min(len(patterns), mostAhead)] {
		with := append([]string{host}, f.below(host)...)
		if len(held)+len(with) > 2*mostAhead || !f.mayHold(host) {
			continue
		}
		for _, h := range with {
			held[h] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(held))
}

// config are the names of one route configuration; nil: none.
func (d *domains) config(name string) *names {
	if d == nil {
		return nil
	}
	return d.configs[name]
}

// answers is the virtual host that answers to what a proxy asks for, ROUTECONFIG/HOST with
// the host as the request has it, or to the name of a virtual host; empty: there is none.
func (f *frame) answers(asked string) string {
	if f.stack.Get(VirtualHost, asked) != nil && !f.isStub(asked) {
		return asked
	}
	config, host, _ := strings.Cut(strings.ToLower(asked), "/")
	if _, asks := f.asked[config]; !asks {
		return ""
	}
	host = withoutPort(host)
	own, base := f.own.config(config), f.base.config(config)
	find := func(table func(*names) map[string]string, name string) string {
		if own != nil {
			if vh := table(own)[name]; vh != "" {
				return vh
			}
		}
		if base != nil {
			if vh := table(base)[name]; vh != "" && f.stack[LayerOutbound].Get(VirtualHost, vh) == nil {
				return vh
			}
		}
		return ""
	}
	if vh := find(func(n *names) map[string]string { return n.exact }, host); vh != "" {
		return vh
	}
	for _, n := range f.patternLengths(config) { // the longest first
		if n < len(host) {
			if vh := find(func(n *names) map[string]string { return n.suffixes }, host[len(host)-n:]); vh != "" && f.mayHold(vh) {
				return vh
			}
		}
	}
	return ""
}

// patternLengths are the lengths of what follows the star of patterns, the longest first. All
// hosts have the one of length 0, which is no pattern for hosts.
func (f *frame) patternLengths(config string) []int {
	if known, ok := f.lengths[config]; ok {
		return known
	}
	seen := map[int]struct{}{}
	for _, n := range []*names{f.own.config(config), f.base.config(config)} {
		if n != nil {
			for length := range n.lengths {
				seen[length] = struct{}{}
			}
		}
	}
	delete(seen, 0)
	out := slices.SortedFunc(maps.Keys(seen), func(a, b int) int { return b - a })
	if f.lengths == nil {
		f.lengths = map[string][]int{}
	}
	f.lengths[config] = out
	return out
}

// mayHold tells whether a pattern may be held. One that has all Services below it would bring
// them all along, for a name that is no Service: such a name stays unknown.
func (f *frame) mayHold(host string) bool {
	for _, name := range f.domainsOf(host) {
		if suffix, is := strings.CutPrefix(name, "*"); is && suffix != "" && strings.HasSuffix(".svc."+object.Domain, suffix) {
			return false
		}
	}
	return true
}

// domainsOf are the names that a virtual host answers to.
func (f *frame) domainsOf(host string) []string {
	if f.own.rev.Get(VirtualHost, host) == nil && f.base != nil {
		return f.base.of[host]
	}
	return f.own.of[host]
}

// isStub tells whether the name is that of a virtual host that stands for hosts which are
// not known.
func (f *frame) isStub(name string) bool {
	_, host, _ := strings.Cut(name, "/")
	return host == translate.AskName || slices.Contains(fallbacks, host)
}

// withoutPort is a Host header without its port.
func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") || strings.Count(host, ":") > 1 && host[0] != '[' {
		return host
	}
	return host[:i]
}

// below are the virtual hosts with names that a pattern of this one covers: who holds the
// pattern would not ask for them.
func (f *frame) below(host string) []string {
	if list, ok := f.narrower[host]; ok {
		return list
	}
	config, _, _ := strings.Cut(host, "/")
	found := map[string]struct{}{}
	for _, name := range f.domainsOf(host) {
		if suffix, is := strings.CutPrefix(name, "*"); is && suffix != "" {
			f.own.config(config).below(suffix, found)
			f.base.config(config).below(suffix, found)
		}
	}
	delete(found, host)
	if f.narrower == nil {
		f.narrower = map[string][]string{}
	}
	out := make([]string, 0, len(found))
	for name := range found {
		out = append(out, name)
	}
	slices.Sort(out)
	f.narrower[host] = out
	return out
}
