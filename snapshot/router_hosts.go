package snapshot

import (
	"fmt"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/internal/parallel"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// routerHosts are the virtual hosts of a router. Whatever changes at its gateways, only
// those are made anew of which the input has changed; and the same rules for many hosts or
// servers are made once.
type routerHosts map[string]routerHost

type routerHost struct {
	of       translate.GatewayHost
	resource *Resource // nil: it cannot be encoded
	findings []object.Finding
}

// joined is what the rules of hosts became.
type joined struct {
	*routev3.VirtualHost
	body     []byte // its routes, encoded
	findings []object.Finding
	err      error
}

// update brings the virtual hosts to those of a plan.
func (r routerHosts) update(plan []translate.GatewayHost, intern *Interner) routerHosts {
	next := make(routerHosts, len(plan))
	var changed []translate.GatewayHost
	for _, h := range plan {
		if old, ok := r[h.Name]; ok && old.of.Equal(h) {
			next[h.Name] = old
		} else {
			changed = append(changed, h)
		}
	}
	rules, of := joinRules(changed)
	made := make([]routerHost, len(changed))
	parallel.Each(len(changed), func(i int) { made[i] = newRouterHost(changed[i], rules[of[i]], intern) })
	for _, h := range made {
		next[h.of.Name] = h
	}
	return next
}

// joinRules makes the routes of all lists of rules that the hosts have, each once, and
// tells which of them each host has.
func joinRules(hosts []translate.GatewayHost) (out []joined, of []int) {
	known := map[string]int{}
	var lists [][]*translate.RouteInput
	for _, h := range hosts {
		var text strings.Builder
		for _, in := range h.Rules {
			fmt.Fprintf(&text, "%p ", in) // all of them are there until this function ends
		}
		key := text.String()
		i, ok := known[key]
		if !ok {
			i = len(lists)
			known[key] = i
			lists = append(lists, h.Rules)
		}
		of = append(of, i)
	}
	out = make([]joined, len(lists))
	parallel.Each(len(lists), func(i int) {
		j := &out[i]
		j.VirtualHost, j.findings = translate.JoinRoutes(lists[i])
		j.body, j.err = deterministic.Marshal(&routev3.VirtualHost{Routes: j.Routes})
	})
	return out, of
}

func newRouterHost(h translate.GatewayHost, of joined, intern *Interner) routerHost {
	out := routerHost{of: h, findings: of.findings}
	before, after := h.Frame(of.VirtualHost)
	head, err := deterministic.Marshal(before)
	tail, failed := deterministic.Marshal(after)
	for _, e := range []error{of.err, err, failed} {
		if e != nil {
			out.findings = append(out.findings[:len(out.findings):len(out.findings)], unencoded(e, h.Owners)...)
			return out
		}
	}
	r := &Resource{Type: VirtualHost, Name: h.Name, Owners: h.Owners}
	out.resource = intern.Intern(r.With("", head, of.body, tail))
	return out
}
