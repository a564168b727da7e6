package snapshot

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// domains are the names that the virtual hosts of one revision answer to, to be looked up
// as Envoy does. It follows the revision: what an update costs is what changed.
type domains struct {
	rev     *Revision
	of      map[string][]string // by virtual host
	configs map[string]*names   // by route configuration
	changes int                 // how often a name has come to lead elsewhere
}

// generation grows when a name leads elsewhere than before.
func (d *domains) generation() int {
	if d == nil {
		return 0
	}
	return d.changes
}

// names are those of one route configuration.
type names struct {
	exact    map[string]string // name to virtual host
	suffixes map[string]string // what follows the star of a pattern, to virtual host
	lengths  map[int]int       // of the suffixes, how many have each
	// ahead are virtual hosts of which a request could not be told from one for a host
	// outside of the mesh, while nobody can be asked: neither an address of theirs nor
	// their names say that they are of the mesh.
	ahead     map[string]struct{}
	sorted    []string // of ahead, in order; nil: not known yet
	addresses map[netip.Addr]struct{}
	cover     []netip.Prefix // of addresses; nil: not known yet
}

func newDomains() *domains { return &domains{of: map[string][]string{}, configs: map[string]*names{}} }

// update follows the revision to the next.
func (d *domains) update(to *Revision) {
	changed := false
	persist.Diff(d.rev.Set(VirtualHost), to.Set(VirtualHost), (*Resource).Same, func(c persist.Change[string, *Resource]) bool {
		var list []string
		if c.HasNew && !c.New.Hidden() {
			list = domainsIn(c.New.Body())
		}
		if slices.Equal(d.of[c.Key], list) {
			// A pattern that is hidden, or was, changes what is seen below.
			changed = changed || c.HadOld != c.HasNew || c.HadOld && c.Old.Hidden() != c.New.Hidden()
			return true
		}
		changed = true
		d.remove(c.Key)
		d.add(c.Key, list)
		return true
	})
	d.rev = to
	if changed {
		d.changes++
	}
}

func (d *domains) add(host string, list []string) {
	if len(list) == 0 {
		return
	}
	d.of[host] = list
	config, _, _ := strings.Cut(host, "/")
	n := d.configs[config]
	if n == nil {
		n = &names{exact: map[string]string{}, suffixes: map[string]string{}, lengths: map[int]int{}, ahead: map[string]struct{}{}, addresses: map[netip.Addr]struct{}{}}
		d.configs[config] = n
	}
	known := false
	for _, name := range list {
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
			if _, there := n.suffixes[suffix]; !there {
				n.lengths[len(suffix)]++
			}
			n.suffixes[suffix] = host
		} else {
			n.exact[name] = host
		}
		if a, ok := addressOf(name); ok {
			n.addresses[a], n.cover, known = struct{}{}, nil, true
		}
		known = known || name == "*" || strings.HasSuffix(name, ".svc."+object.Domain)
	}
	if !known {
		n.ahead[host], n.sorted = struct{}{}, nil
	}
}

func (d *domains) remove(host string) {
	config, _, _ := strings.Cut(host, "/")
	n := d.configs[config]
	for _, name := range d.of[host] {
		if suffix, ok := strings.CutPrefix(name, "*"); ok && n.suffixes[suffix] == host {
			delete(n.suffixes, suffix)
			if n.lengths[len(suffix)]--; n.lengths[len(suffix)] == 0 {
				delete(n.lengths, len(suffix))
			}
		}
		if n.exact[name] != host {
			continue // it is another's already
		}
		delete(n.exact, name)
		if a, ok := addressOf(name); ok {
			delete(n.addresses, a)
			n.cover = nil
		}
	}
	delete(d.of, host)
	if n == nil {
		return
	}
	if _, is := n.ahead[host]; is {
		delete(n.ahead, host)
		n.sorted = nil
	}
	if len(n.exact)+len(n.suffixes) == 0 {
		delete(d.configs, config)
	}
}

// addressOf reads an address as it stands in a Host header.
func addressOf(name string) (netip.Addr, bool) {
	if len(name) == 0 || name[0] != '[' && (name[0] < '0' || name[0] > '9') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return a, err == nil
}

// below are the virtual hosts that a pattern covers and that have a narrower name.
func (n *names) below(suffix string, found map[string]struct{}) {
	if n == nil {
		return
	}
	for _, table := range []map[string]string{n.exact, n.suffixes} {
		for name, host := range table {
			if len(name) > len(suffix) && strings.HasSuffix(name, suffix) {
				found[host] = struct{}{}
			}
		}
	}
}

// first are the virtual hosts of ahead in the order of their names.
func (n *names) first() []string {
	if n == nil {
		return nil
	}
	if n.sorted == nil && len(n.ahead) > 0 {
		n.sorted = slices.Sorted(maps.Keys(n.ahead))
	}
	return n.sorted
}

// mostRanges is how many prefixes cover the addresses of one route configuration. Envoy
// compares one after the other, and only while nobody can be asked.
const mostRanges = 64

// covered are prefixes that hold all addresses, as narrow as mostRanges allows.
func (n *names) covered() []netip.Prefix {
	if n == nil {
		return nil
	}
	if n.cover == nil && len(n.addresses) > 0 {
		n.cover = cover(slices.Collect(maps.Keys(n.addresses)), mostRanges)
	}
	return n.cover
}

// cover are at most so many prefixes that hold the addresses, in order: for each /16 (of IPv6:
// /64) that has any, what they have in common, in steps of four bits, so that a new address seldom
// makes others of them. No prefix is wider: it would take in addresses outside of the mesh. Where
// there are more blocks than prefixes, those with the most addresses count.
func cover(addresses []netip.Addr, most int) []netip.Prefix {
	type block struct {
		first netip.Addr
		bits  int // that all of the block have in common with the first
		n     int
	}
	blocks := map[netip.Prefix]*block{}
	for _, a := range addresses {
		width := 16
		if a.Is6() {
			width = 64
		}
		within, _ := a.Prefix(width) // it is within the address
		b := blocks[within]
		if b == nil {
			b = &block{first: a, bits: a.BitLen()}
			blocks[within] = b
		}
		b.n++
		for p := netip.PrefixFrom(b.first, b.bits); !p.Contains(a); p = netip.PrefixFrom(b.first, b.bits) {
			b.bits -= 4
		}
	}
	order := slices.SortedFunc(maps.Keys(blocks), func(a, b netip.Prefix) int {
		return cmp.Or(blocks[b].n-blocks[a].n, a.Addr().Compare(b.Addr()))
	})
	out := make([]netip.Prefix, 0, min(most, len(order)))
	for _, within := range order[:min(most, len(order))] {
		out = append(out, netip.PrefixFrom(blocks[within].first, blocks[within].bits).Masked())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

// domainsIn reads VirtualHost.domains of an encoded virtual host.
func domainsIn(body []byte) (list []string) {
	for len(body) > 0 {
		field, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return list // it was encoded here, and is whole
		}
		body = body[n:]
		size := protowire.ConsumeFieldValue(field, kind, body)
		if size < 0 {
			return list
		}
		if field == fieldDomains && kind == protowire.BytesType {
			name, _ := protowire.ConsumeBytes(body)
			list = append(list, string(name))
		}
		body = body[size:]
	}
	return list
}
