package translate

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// trustTooMuch are the servers of a router whose authorities find no room, with the youngest
// object before for which there was. Each server parses them for itself, so each counts, for
// the namespace of the object that makes it: the ListenerSet's is not the Gateway's, and a
// route that adds a server to a listener is neither's.
func trustTooMuch(ports []mesh.RouterPort) map[*traffic.Server]object.Ref {
	var servers []*traffic.Server
	sums := map[string]int{}
	for _, p := range ports {
		for _, s := range p.Servers {
			if s.ClientRoots != nil {
				servers = append(servers, s)
				by, _ := madeBy(s)
				sums[by.Namespace] += s.ClientRoots.Size()
			}
		}
	}
	level := bounds.Share(slices.Collect(maps.Values(sums)), bounds.MaxTrusted, bounds.MaxTrustedInAll)
	slices.SortStableFunc(servers, func(x, y *traffic.Server) int {
		byX, createdX := madeBy(x)
		byY, createdY := madeBy(y)
		return object.Older(createdX, byX, createdY, byY)
	})
	out := map[*traffic.Server]object.Ref{}
	clear(sums)
	last := map[string]object.Ref{}
	for _, s := range servers {
		by, _ := madeBy(s)
		if size := s.ClientRoots.Size(); sums[by.Namespace]+size > level {
			out[s] = last[by.Namespace]
		} else {
			sums[by.Namespace], last[by.Namespace] = sums[by.Namespace]+size, by
		}
	}
	return out
}

// trusts tells whether there is room for the authorities of a server. It is left out where
// there is none: without them everybody could use it.
func (b *gatewayBuilder) trusts(s *traffic.Server) bool {
	winner, tooMuch := b.trustless[s]
	if tooMuch {
		by, _ := madeBy(s)
		b.plan.Findings = append(b.plan.Findings, object.Finding{Object: by, Field: "spec", Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
			"with what is older, servers that objects of namespace %s make on this gateway verify clients by more bytes of certificates than they may (%d of one namespace, %d of all, of which those that ask for most give way); server %s of %s is left out: name fewer authorities, or have fewer listeners, and routes of TLS there",
			by.Namespace, bounds.MaxTrusted, bounds.MaxTrustedInAll, s.Listener, s.Gateway.Ref)})
	}
	return !tooMuch
}

// madeBy is the object that makes a server, and its age: that which declares the listener, or
// where TLS ends and is led on by names, the oldest route for the name.
func madeBy(s *traffic.Server) (object.Ref, time.Time) {
	if s.Protocol == object.ProtocolTLS && len(s.Bound) > 0 {
		v := s.Bound[0].VirtualService
		return v.Ref, v.Created
	}
	return s.Gateway.Ref, s.Gateway.Created
}
