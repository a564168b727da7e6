package snapshot

import (
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
	// ahead are virtual hosts of which a request could not be told from one for a host
	// outside of the mesh, while nobody can be asked: neither an address of theirs nor
	// their names say that they are of the mesh.
	ahead     map[string]struct{}
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
		n = &names{exact: map[string]string{}, suffixes: map[string]string{}, ahead: map[string]struct{}{}, addresses: map[netip.Addr]struct{}{}}
		d.configs[config] = n
	}
	known := false
	for _, name := range list {
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
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
		n.ahead[host] = struct{}{}
	}
}

func (d *domains) remove(host string) {
	config, _, _ := strings.Cut(host, "/")
	n := d.configs[config]
	for _, name := range d.of[host] {
		if suffix, ok := strings.CutPrefix(name, "*"); ok && n.suffixes[suffix] == host {
			delete(n.suffixes, suffix)
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
	delete(n.ahead, host)
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

// mostRanges is how many prefixes cover the addresses of one route configuration. Envoy
// compares one after the other, and only while nobody can be asked.
const mostRanges = 32

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

// cover are at most so many prefixes (or two) that hold all addresses, all of one length
// for each family, in order.
func cover(addresses []netip.Addr, most int) []netip.Prefix {
	var out []netip.Prefix
	for _, bits := range []int{32, 128} {
		seen := map[netip.Prefix]struct{}{}
		for length := bits; length >= 0; length-- {
			clear(seen)
			for _, a := range addresses {
				if a.BitLen() == bits {
					p, _ := a.Prefix(length) // the length is within the address
					if seen[p] = struct{}{}; len(seen) > most/2 {
						break
					}
				}
			}
			if len(seen) <= most/2 {
				break
			}
		}
		out = append(out, slices.SortedFunc(maps.Keys(seen), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })...)
	}
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
