package discovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// FuzzSession plays clients that keep to no rule: any request at any time,
// with any names and nonces, while the mesh changes. Whatever they do, the
// session neither panics nor grows beyond what they asked for.
func FuzzSession(f *testing.F) {
	f.Add(false, []byte{0, 0, 0, 1, 16, 2, 4, 0, 0, 5, 1, 1, 6, 0, 0, 200, 0, 0})
	f.Add(true, []byte{0, 0, 0, 1, 16, 2, 4, 0, 0, 5, 1, 1, 200, 0, 0, 0, 128, 0})
	stacks := fuzzStacks(f)
	f.Fuzz(func(t *testing.T, state bool, program []byte) {
		now := time.Unix(1, 0)
		s := newSession(newShared(1<<20), form{state: state, inline: state}, stacks[0], now, time.Second)
		names := []string{"a", "b", "80", "81", "80/host", "*", "", "none", "l80"}
		for i := 0; i+2 < len(program) && i < 600; i += 3 {
			op, arg, more := program[i], program[i+1], program[i+2]
			if op >= 200 {
				s.publish(stacks[int(arg)%len(stacks)], now)
				now = now.Add(time.Duration(more) * 10 * time.Millisecond)
			} else {
				name := names[int(more)%len(names)]
				r := request{typ: snapshot.Type(op) % snapshot.NumTypes, known: true, nack: arg&1 != 0, refuse: "because of " + name}
				if arg&2 != 0 {
					r.nonce = fmt.Sprint(s.nonce - uint64(arg>>6))
				}
				if arg&4 != 0 {
					r.held = heldOf(t, map[string]string{name: "x", "a": stacks[0].Get(snapshot.Cluster, "a").Version})
				}
				if arg&8 != 0 {
					r.version = hexVersion(stacks[0].Sum(r.typ))
				}
				if arg&16 != 0 {
					r.subscribe, r.names, r.digest = []string{name, "a"}, []string{name, "a"}, uint64(more)
				}
				if arg&32 != 0 {
					r.unsubscribe = []string{name}
				}
				if err := s.request(r, now); err != nil {
					t.Fatal(err)
				}
			}
			s.step(now)
			for typ := range snapshot.NumTypes {
				_ = s.state(typ)
			}
		}
		if n := len(s.linger) + len(s.awaited) + len(s.endpoints.missing) + len(s.parked); n > 32 {
			t.Errorf("%d things are remembered", n)
		}
	})
}

func fuzzStacks(t testing.TB) []snapshot.Stack {
	first := small(t)
	second := moved(t, first)
	third := with(second, []*snapshot.Resource{edsCluster(t, "a", "again"), rdsListener(t, "l81", 81, "81"), frame(t, "81"), virtualHost(t, "81", "*", "b")},
		key(snapshot.Listener, "l80"), key(snapshot.RouteConfig, "80"), key(snapshot.VirtualHost, "80/*"), key(snapshot.VirtualHost, "80/host"))
	return []snapshot.Stack{first, second, third, {}}
}
