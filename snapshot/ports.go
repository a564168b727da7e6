package snapshot

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// setClaims replaces the claims of a host, and adds the listeners that this
// concerns to keys.
func (l *hostLayer) setClaims(host string, old, next *hostState, keys map[translate.ListenerKey]struct{}) {
	each := func(s *hostState, f func(translate.Claim)) {
		if s == nil {
			return
		}
		for _, c := range s.claims {
			f(c)
		}
	}
	each(old, func(c translate.Claim) {
		keys[c.Key] = struct{}{}
		set := l.claims[c.Key]
		if set == nil {
			return
		}
		delete(set.http, host)
		delete(set.other, host)
		if len(set.http) == 0 && len(set.other) == 0 {
			delete(l.claims, c.Key)
		}
	})
	each(next, func(c translate.Claim) {
		keys[c.Key] = struct{}{}
		set := l.claims[c.Key]
		if set == nil {
			set = &claimSet{http: map[string]struct{}{}, other: map[string]translate.Claim{}}
			l.claims[c.Key] = set
		}
		if c.Kind == translate.ClaimHTTP {
			set.http[host] = struct{}{}
		} else {
			set.other[host] = c
		}
	})
}

// claimAlike tells whether two states of a host have the same claims.
func claimAlike(a, b *hostState) bool {
	none := &hostState{}
	a, b = cmp.Or(a, none), cmp.Or(b, none)
	return a.override == b.override && slices.EqualFunc(a.claims, b.claims, translate.Claim.Equal)
}

// affected are the listeners to build: those of the keys, and with a base, when
// claims have changed here or there, all for which this layer counts claims
// otherwise than the base does.
func (l *hostLayer) affected(keys map[translate.ListenerKey]struct{}) []translate.ListenerKey {
	if l.base != nil && (l.moved || l.base.moved) {
		for k := range l.ports {
			keys[k] = struct{}{}
		}
		for k := range l.claims {
			keys[k] = struct{}{}
		}
		for host, s := range l.hosts {
			if b := l.base.hosts[host]; s.override && b != nil {
				for _, c := range b.claims {
					keys[c.Key] = struct{}{}
				}
			}
		}
	}
	out := make([]translate.ListenerKey, 0, len(keys))
	for k := range keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b translate.ListenerKey) int {
		if a.Address != b.Address {
			if a.Address < b.Address {
				return -1
			}
			return 1
		}
		return int(a.Port) - int(b.Port)
	})
	return out
}

// claimsTo are the claims to a listener as they count in this layer.
func (l *hostLayer) claimsTo(key translate.ListenerKey) (http bool, other []translate.Claim) {
	if set := l.claims[key]; set != nil {
		http = len(set.http) > 0
		for _, c := range set.other {
			other = append(other, c)
		}
	}
	if l.base == nil {
		return http, other
	}
	set := l.base.claims[key]
	if set == nil {
		return http, other
	}
	overridden := func(host string) bool { s := l.hosts[host]; return s != nil && s.override }
	for host, c := range set.other {
		if !overridden(host) {
			other = append(other, c)
		}
	}
	if http {
		return http, other
	}
	for host := range set.http {
		if !overridden(host) {
			return true, other
		}
	}
	return http, other
}

// port builds the listener of a key and what its route configuration needs
// beside the virtual hosts of hosts; nil when nothing claims it, or when the
// base's is right.
func (l *hostLayer) port(key translate.ListenerKey, report *translate.TCPReport) *portState {
	http, other := l.claimsTo(key)
	s := &portState{}
	if http || len(other) > 0 {
		bind := l.view.Sidecar.BindOf(key.Port)
		listener, findings := translate.OutboundListener(translate.ListenerInput{
			Key: key, Socket: bind.Socket && bind.Address == key.Address, HTTP: http, Claims: other, Unclaimed: translate.Unclaimed(l.view), IPv6: l.ipv6, Reporting: l.reporting, Report: report, Config: l.view.Config,
		})
		s.findings = findings
		if listener != nil {
			var refs []object.Ref
			for _, c := range other {
				refs = append(refs, c.Service.Ref)
				if c.Rule != (object.Ref{}) {
					refs = append(refs, c.Rule)
				}
			}
			slices.SortFunc(refs, func(a, b object.Ref) int { return compareText(a.String(), b.String()) })
			refs = slices.Compact(refs)
			if r, _ := encode(Listener, listener.Name, listener, refs...); r != nil {
				s.resources = append(s.resources, l.memo.intern.Intern(r))
			}
		}
		if http {
			s.resources = append(s.resources, l.routes(&s.uses, key)...)
		}
	}
	if l.base == nil {
		if len(s.resources) == 0 && len(s.findings) == 0 {
			l.memo.release(s.uses)
			return nil
		}
		return s
	}
	var under []*Resource
	if b := l.base.ports[key]; b != nil {
		under = b.resources
	}
	diff := (&hostState{resources: s.resources}).over(&hostState{resources: under})
	if diff == nil {
		l.memo.release(s.uses)
		return nil
	}
	return &portState{diff.resources, s.findings, s.uses}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

type fallbackKey struct {
	config, unclaimed string
}

// routes are the frame of the route configuration that the HTTP services of a
// port share, and its answer for hosts that nothing knows.
func (l *hostLayer) routes(u *uses, at translate.ListenerKey) []*Resource {
	name := at.RouteConfig()
	out := []*Resource{l.frame(u, name)}
	key := fallbackKey{name, translate.UnclaimedRequests(l.view)}
	b := l.memo.get(u, key, func() (*Resource, []object.Finding) {
		vh := translate.FallbackVirtualHost(key.config, key.unclaimed)
		return encode(VirtualHost, vh.Name, vh)
	})
	return append(out, b.resource)
}
