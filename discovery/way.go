package discovery

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/fairway-mesh/fairway/snapshot"
)

// A stack has layers that many proxies share and layers of one proxy's own.
// The way from one stack to another is made group by group, so that what is
// common is computed and encoded once. Resources that belong together (a
// cluster and its endpoints, a route configuration and its virtual hosts) are
// in one group.
var groups = [...][]int{
	{snapshot.LayerOutbound, snapshot.LayerBase},
	{snapshot.LayerInbound},
	{snapshot.LayerSecrets},
	{snapshot.LayerLife},
	{snapshot.LayerCaller},
}

// commonGroup is the group that many proxies share.
const commonGroup = 0

// only is the part of a stack in one group.
func only(stack snapshot.Stack, group int) snapshot.Stack {
	var part snapshot.Stack
	for _, layer := range groups[group] {
		part[layer] = stack[layer]
	}
	return part
}

// way is what leads one stream from what it holds to what it is to hold, for
// one type: the steps of the groups that differ, joined.
type way struct {
	put     []*snapshot.Resource
	held    []bool
	gone    []string
	dropped []*snapshot.Resource
	spared  []*snapshot.Resource
}

// way returns the way of a key.
func (s *steps) way(key stepKey) way {
	var w way
	joined := 0
	for g := range groups {
		part := key
		part.from, part.to, part.clusters = only(key.from, g), only(key.to, g), only(key.clusters, g)
		if key.form.same(part.from, part.to, key.typ) {
			continue
		}
		var st *step
		if g == commonGroup {
			st = s.get(part)
		} else {
			st = s.once(part)
		}
		w.spared = append(slices.Clip(w.spared), st.spared...)
		if joined++; joined == 1 {
			w.put, w.held, w.gone, w.dropped = st.put, st.held, st.gone, st.dropped
			continue
		}
		w.put = append(slices.Clip(w.put), st.put...)
		w.held = append(slices.Clip(w.held), st.held...)
		w.gone = append(slices.Clip(w.gone), st.gone...)
		w.dropped = append(slices.Clip(w.dropped), st.dropped...)
	}
	return w
}

// same says, in O(1), that streams of the form see no difference of a type
// between two stacks.
func (f form) same(from, to snapshot.Stack, t snapshot.Type) bool {
	return from.SameType(to, t) && (t != snapshot.RouteConfig || !f.inline || from.SameType(to, snapshot.VirtualHost))
}

// complete is everything that the streams of a key ask for.
func (s *steps) complete(key stepKey) []*snapshot.Resource {
	key.from = snapshot.Stack{}
	return s.way(key).put
}

// version names the state of a type in a stack, equal on all replicas.
func (f form) version(stack snapshot.Stack, t snapshot.Type) string {
	sum := stack.Sum(t)
	if t == snapshot.RouteConfig && f.inline {
		sum += stack.Sum(snapshot.VirtualHost)
	}
	return hexVersion(sum)
}

// clusterSets are the clusters of a stack by layer: unlike the stack, they are not
// others because some endpoints are.
type clusterSets [len(snapshot.Stack{})]snapshot.Set

// endpoints is sumOf the names of endpoints that a proxy asks for which has the
// clusters of a stack, as far as those bear the names of the clusters. What the
// common group adds to it is kept.
func (s *steps) endpoints(clusters snapshot.Stack) uint64 {
	var sum uint64
	for g := range groups {
		part := only(clusters, g)
		common, kept := uint64(0), false
		var sets clusterSets
		if g == commonGroup {
			for i, rev := range part {
				sets[i] = rev.Set(snapshot.Cluster)
			}
			common, kept = s.sums.Get(sets)
		}
		if !kept {
			for r := range part.All(snapshot.Cluster) {
				if needsEndpoints(r) == r.Name {
					common += xxhash.Sum64String(r.Name)
				}
			}
		}
		if g == commonGroup && !kept {
			s.sums.Add(sets, common)
		}
		sum += common
	}
	return sum
}
