package discovery

import (
	"strconv"

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
	bodies  [][]byte
	version string // of the whole stack at the end
}

// way returns the way of a key.
func (s *steps) way(key stepKey) way {
	var w way
	var version versionSum
	steps := 0
	for g := range groups {
		part := key
		part.from, part.to, part.clusters = only(key.from, g), only(key.to, g), only(key.clusters, g)
		if part.from.SameType(part.to, key.typ) && (!key.form.inline || key.typ != snapshot.RouteConfig || part.from.SameType(part.to, snapshot.VirtualHost)) {
			version.add(systemVersion(part.to, key.typ, key.form))
			continue
		}
		var st *step
		if g == commonGroup {
			st = s.get(part)
		} else {
			st = s.once(part)
		}
		version.add(st.version)
		if len(st.body) > 0 {
			w.bodies = append(w.bodies, st.body)
		}
		if steps++; steps == 1 {
			w.put, w.held, w.gone, w.dropped = st.put, st.held, st.gone, st.dropped
			continue
		}
		w.put = append(w.put[:len(w.put):len(w.put)], st.put...)
		w.held = append(w.held[:len(w.held):len(w.held)], st.held...)
		w.gone = append(w.gone[:len(w.gone):len(w.gone)], st.gone...)
		w.dropped = append(w.dropped[:len(w.dropped):len(w.dropped)], st.dropped...)
	}
	w.version = version.String()
	return w
}

// complete is everything that the streams of a key ask for, encoded.
func (s *steps) complete(key stepKey) [][]byte {
	key.from = snapshot.Stack{}
	return s.way(key).bodies
}

// versionSum adds up versions of parts of a stack; the sum of all is the
// version of the stack. A version may consist of several words.
type versionSum struct {
	words [2]uint64
	n     int
}

const versionWord = 16 // hexadecimal digits

func (v *versionSum) add(version string) {
	for i := 0; i*versionWord < len(version) && i < len(v.words); i++ {
		word, _ := strconv.ParseUint(version[i*versionWord:(i+1)*versionWord], 16, 64)
		v.words[i] += word
		v.n = max(v.n, i+1)
	}
}

func (v *versionSum) String() string {
	s := ""
	for _, w := range v.words[:v.n] {
		s += hexVersion(w)
	}
	return s
}
