package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// TestWhoMayWithhold says from whom a version is withheld after some pods of a
// namespace have refused it.
func TestWhoMayWithhold(t *testing.T) {
	good, bad := edsCluster(t, "c", "good"), edsCluster(t, "c", "bad")
	a1, a2, b1 := juror{"a-1", "a"}, juror{"a-2", "a"}, juror{"b-1", "b"}
	for _, c := range []struct {
		name    string
		present []juror // at the time of the refusals
		refuse  []juror
		before  *snapshot.Resource
		who     audience
		want    *snapshot.Resource
	}{
		{"one of many, from another", []juror{a1, b1}, []juror{a1}, good, audience{juror: b1}, bad},
		{"one of many, from itself when it comes back", []juror{a1, b1}, []juror{a1}, good, audience{juror: a1}, good},
		{"one of many, from its like", []juror{a1, a2, b1}, []juror{a1}, good, audience{juror: a2}, bad},
		{"one of many, to begin with", []juror{a1, b1}, []juror{a1}, good, audience{b1, true}, good},
		{"one of many, to begin with when nothing is better", []juror{a1, b1}, []juror{a1}, nil, audience{b1, true}, bad},
		{"the same one twice", []juror{a1, b1}, []juror{a1, a1}, good, audience{juror: b1}, bad},
		{"two of one workload among others", []juror{a1, a2, b1}, []juror{a1, a2}, good, audience{juror: b1}, bad},
		{"two of one workload among others, from their like", []juror{a1, a2, b1}, []juror{a1, a2}, good, audience{juror: juror{"a-3", "a"}}, bad},
		{"two of the only workload", []juror{a1, a2}, []juror{a1, a2}, good, audience{juror: juror{"a-3", "a"}}, good},
		{"two of the only workload, from one that comes later", []juror{a1, a2}, []juror{a1, a2}, good, audience{juror: b1}, bad},
		{"two of different workloads", []juror{a1, b1}, []juror{a1, b1}, good, audience{juror: juror{"c-1", "c"}}, good},
	} {
		t.Run(c.name, func(t *testing.T) {
			courts := newCourts()
			var here *court
			for _, j := range c.present {
				here = courts.enter("ns", j.workload)
			}
			elsewhere := courts.enter("other", "w")
			for _, j := range c.refuse {
				here.refuse(j, bad, c.before, "no")
			}
			if got := here.of(c.who).effective(bad); got != c.want {
				t.Errorf("it gets %v", got)
			}
			if got := elsewhere.of(c.who).effective(bad); got != bad {
				t.Errorf("one of another namespace gets %v", got)
			}
			here.accept(bad)
			if got := here.of(c.who).effective(bad); got != bad {
				t.Errorf("after somebody took it: %v", got)
			}
		})
	}
}

// TestCourtsAreBounded lets a namespace refuse more than is remembered, and
// more namespaces come and go than are remembered.
func TestCourtsAreBounded(t *testing.T) {
	courts := newCourts()
	for i := range 2 * courtsSize {
		ns := fmt.Sprint("ns-", i)
		c := courts.enter(ns, "w")
		for k := range 4 {
			for pod := range 3 {
				c.refuse(juror{fmt.Sprint("p-", pod), fmt.Sprint("w-", pod)}, edsCluster(t, fmt.Sprint("c-", k), "x"), nil, "no")
			}
		}
		courts.leave(ns, "w")
	}
	if len(courts.inUse) > 0 || courts.idle.Len() > courtsSize {
		t.Errorf("%d courts in use, %d remembered", len(courts.inUse), courts.idle.Len())
	}
	c := courts.enter("hostile", "w")
	for k := range 2 * casesSize {
		for pod := range 2 * votesSize {
			c.refuse(juror{fmt.Sprint("p-", pod), fmt.Sprint("w-", pod)}, edsCluster(t, fmt.Sprint("c-", k), "x"), nil, "no")
		}
	}
	if n := c.open.Load(); n > casesSize {
		t.Errorf("%d cases", n)
	}
	for _, known := range c.cases.Values() {
		if len(known.votes) > votesSize {
			t.Fatalf("%d votes", len(known.votes))
		}
	}
}

// TestRefusalOfStrangers has a proxy of another namespace refuse all, two pods
// of it, and one that asks for routes and never for clusters.
func TestRefusalOfStrangers(t *testing.T) {
	h := serve(t, meshOf(t, 3), nil, Transport{})
	victim, _ := connect(t, h.addr, wire.Options{Delta: true})
	refuse := func(wire.Response) error { return errors.New("no: 80/svc-0001 \x1b[31mforged\nline") }
	for i := range 2 {
		connect(t, h.addr, wire.Options{Delta: true, OnResponse: refuse, NodeID: fmt.Sprintf("sidecar~10.0.1.%d~evil-%d.evil~x", i+1, i)})
	}
	eventually(t, "the victim is served", func() bool { return holds(victim, h.stack, false) })
	eventually(t, "both have refused", func() bool {
		n := 0
		for _, p := range h.server.Proxies() {
			if p.Client.Namespace == "evil" && p.Types[snapshot.Cluster].LastNack != "" {
				n++
			}
		}
		return n == 2
	})
	h.publish(with(h.stack, []*snapshot.Resource{virtualHost(t, "80", "svc-0001", "svc-0002"), edsCluster(t, "svc-0000", "next"), edsCluster(t, "svc-0003", ""), endpoints(t, "svc-0003", 1)}))
	eventually(t, "the victim has the change", func() bool { return holds(victim, h.stack, false) })
	newcomer, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.9~new.default~x"})
	eventually(t, "so has a newcomer", func() bool { return holds(newcomer, h.stack, false) })
	eventually(t, "the refusals are told as theirs", func() bool {
		r := h.server.Refusals()
		return len(r) > 0 && !slices.ContainsFunc(r, func(r Refusal) bool { return !strings.HasPrefix(r.By, "evil/evil-") })
	})
	for _, r := range h.server.Refusals() {
		if strings.ContainsFunc(r.Message, func(c rune) bool { return !unicode.IsPrint(c) }) || len(r.Message) > 600 {
			t.Errorf("its words: %q", r.Message)
		}
	}
}

// TestHastyProxyHasNoSay refuses routes that it was sent before their clusters,
// by its own doing.
func TestHastyProxyHasNoSay(t *testing.T) {
	for _, never := range []bool{true, false} {
		p := newScript(t, small(t), false)
		p.s.court, p.s.juror = newCourt("ns"), juror{"p", "w"}
		if !never {
			p.subscribe(snapshot.Cluster) // and does not acknowledge
			p.now = p.now.Add(p.s.wait)
			p.run()
		}
		p.subscribe(snapshot.Listener)
		p.now = p.now.Add(p.s.wait)
		p.run()
		p.nack(snapshot.Listener, "no")
		if len(p.s.events.refusals) == 0 || p.s.events.refusals[0].counts {
			t.Errorf("never asked for clusters %t: %+v", never, p.s.events.refusals)
		}
	}
}

func TestWordsOf(t *testing.T) {
	long := wordsOf([]byte(strings.Repeat("x\x00\u202e\n", 30<<20/6)))
	if len(long) > maxRefusal+8 || strings.ContainsFunc(long, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%d bytes: %q", len(long), long[:32])
	}
}
