package gatewayapi

import (
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// owners are the listeners of a Gateway that are opened, by what requests they are for: a
// request belongs to the listener of its port that has the hostname closest to its host.
type owners map[portHost]*listener

type portHost struct {
	port gatewayv1.PortNumber
	host string
}

// ownersOf are those of a Gateway, made once for all that is derived of it in a pass.
func (b *Builder) ownersOf(w *View, g *Gateway) owners {
	out := b.owners[g]
	if out == nil {
		out = owners{}
		for _, l := range g.listeners {
			if w.derives(g, l) {
				out[portHost{l.spec.Port, l.hostname}] = l // conflicts are left out: it is the only one
			}
		}
		b.owners[g] = out
	}
	return out
}

// of is the listener to which requests for a host belong that reach the port of a listener
// whose hostname covers it.
func (o owners) of(l *listener, host string) *listener {
	owner := o[portHost{l.spec.Port, host}]
	if owner == nil {
		object.WildcardsOf(host, func(pattern string) bool {
			owner = o[portHost{l.spec.Port, pattern}]
			return owner == nil
		})
	}
	return owner
}

// derives tells whether servers are made of a listener. What it shows may be missing for
// the moment: its connections fail then, and nobody else gets them.
func (w *View) derives(g *Gateway, l *listener) bool {
	if !l.serves() {
		return false
	}
	_, problem := w.certificates(l)
	return problem == (listenerProblem{}) && w.frontendRefusal(g, l) == (listenerProblem{})
}

// since is the age that decides about precedence among the Gateways of a pod: a set comes
// after its Gateway and in its place among the sets, also where the API server, which counts
// seconds, says that they are equally old.
func (g *Gateway) since(d *declarer) time.Time {
	if d.Ref == g.Ref {
		return g.created
	}
	at := d.created
	if at.Before(g.created) {
		at = g.created
	}
	for i, s := range g.sets {
		if s.Ref == d.Ref {
			return at.Add(time.Duration(i + 1))
		}
	}
	return at
}
