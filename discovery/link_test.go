package discovery

import (
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// TestLossPutsOff: over a link that loses packets a step is waited for longer
// than of a proxy that does not answer, and not for ever.
func TestLossPutsOff(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		stack := meshOf(t, 1)
		m := newModel(t, stack, true)
		for range 50 {
			m.serve()
			m.proxy()
		}
		next := with(stack, []*snapshot.Resource{edsCluster(t, "new", ""), endpoints(t, "new", 9000), virtualHost(t, "80", "svc-0000", "new")})
		m.s.publish(next, m.now)
		m.serve()
		waits := 0
		for ; waits < 20; waits++ {
			m.now = m.now.Add(m.s.wait)
			if !m.s.overdue(m.now) {
				t.Fatal("nothing is waited for")
			}
			if lossy {
				m.s.putOff(m.now)
			}
			m.s.step(m.now)
			if len(m.s.events.overdue) > 0 {
				break
			}
		}
		if want := map[bool]int{false: 0, true: mostPutOffs}[lossy]; waits != want {
			t.Errorf("lossy: %v: put off %d times, want %d", lossy, waits, want)
		}
	}
}

// TestWordsThatAreLost: what the proxy sends is lost as well where much of what it is sent
// is, and nothing tells of that; a packet that was lost once is no reason to wait for long.
func TestWordsThatAreLost(t *testing.T) {
	for _, c := range []struct {
		what  string
		again []uint32 // as the kernel tells it every five seconds
		loses []bool
	}{
		{"nothing is lost", []uint32{0, 0}, []bool{false, false}},
		{"one packet", []uint32{1, 1, 1}, []bool{true, false, false}},
		{"several packets, and then the proxy's", []uint32{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}, []bool{true, true, true, true, true, true, true, true, true, true, true, true, true, false}},
		{"one after the other", []uint32{1, 2, 3, 3}, []bool{true, true, true, true}},
	} {
		var l link
		now := time.Unix(1, 0)
		for i, again := range c.again {
			if got := l.loses(false, again, now); got != c.loses[i] {
				t.Errorf("%s: after %s: %t", c.what, now.Sub(time.Unix(1, 0)), got)
			}
			now = now.Add(5 * time.Second)
		}
	}
	var l link
	if !l.loses(true, 0, time.Unix(1, 0)) {
		t.Error("what is not acknowledged is not lost")
	}
}

// TestWordsOfOneThatComesBack: a proxy that comes back owes a word about its endpoints, and
// then about its listeners and virtual hosts, which are waited for as long as they are late.
func TestWordsOfOneThatComesBack(t *testing.T) {
	stack := meshOf(t, 1)
	gone := true
	held := func(typ snapshot.Type) request {
		versions := map[string]string{}
		for r := range stack.All(typ) {
			versions[r.Name] = r.Version
		}
		if typ == snapshot.Cluster && gone {
			versions["gone"] = "1" // what its routes may still lead to
		}
		return request{typ: typ, known: true, held: heldOf(t, versions)}
	}
	now := time.Unix(1, 0)
	s := newSession(newShared(1<<20), form{}, stack, now, time.Second)
	expect := func(when string, want bool) {
		t.Helper()
		s.step(now)
		if got := s.unheard(); got != want {
			t.Errorf("%s it is in phase %s and owes a word: %t", when, s.phase, got)
		}
	}
	say := func(r request, subscribe ...string) {
		r.subscribe = subscribe
		if err := s.request(r, now); err != nil {
			t.Fatal(err)
		}
	}
	expect("before it says anything", false)
	say(held(snapshot.Cluster))
	expect("after its clusters", true)
	say(held(snapshot.Endpoint), "svc-0000")
	expect("after its endpoints", true)
	say(held(snapshot.Listener))
	say(request{typ: snapshot.RouteConfig, known: true}, "80")
	expect("after its listeners and route configurations", true)
	say(held(snapshot.VirtualHost))
	expect("after its virtual hosts", false)

	gone = false
	s = newSession(newShared(1<<20), form{}, stack, now, time.Second)
	say(held(snapshot.Cluster))
	expect("after clusters that all stay", false)
	say(held(snapshot.Endpoint), "svc-0000")
	expect("with clusters that all stay", false)

	old := stack
	stack = with(stack, []*snapshot.Resource{edsCluster(t, "new", ""), endpoints(t, "new", 9000)})
	s = newSession(newShared(1<<20), form{}, stack, now, time.Second)
	stack = old
	say(held(snapshot.Cluster))
	expect("with a cluster that it does not hold", true)
}

// TestClustersNamedLate: a state-of-the-world client that comes back over a link that loses
// packets keeps the cluster that its routes lead to, however late it names it. One that never
// does is answered after a minute, or when it has come to its listeners.
func TestClustersNamedLate(t *testing.T) {
	stack := meshOf(t, 1)
	for _, c := range []struct {
		what    string
		names   time.Duration // when it names its clusters; 0: never
		passes  bool          // it asks for listeners and names none
		answers time.Duration
		keeps   bool
	}{
		{"late", 40 * time.Second, false, 40 * time.Second, true},
		{"never", 0, false, time.Minute, false},
		{"never, and goes on to listeners", 0, true, 5 * time.Second, false},
	} {
		began := time.Unix(1, 0)
		s := newSession(newShared(1<<20), form{state: true, inline: true}, stack, began, 5*time.Second)
		say := func(r request, now time.Time) {
			r.known, r.state, r.version = true, true, "of another day"
			if err := s.request(r, now); err != nil {
				t.Fatal(err)
			}
		}
		say(request{typ: snapshot.Cluster}, began)
		if c.passes {
			say(request{typ: snapshot.Listener}, began)
		}
		var answer *message
		now := began
		for ; answer == nil && now.Sub(began) <= 2*time.Minute; now = now.Add(time.Second) {
			if c.names > 0 && now.Sub(began) == c.names {
				say(request{typ: snapshot.Endpoint, names: []string{"svc-0000", "gone"}, digest: 1}, now)
			}
			if s.overdue(now) && s.unheard() { // as the stream does
				s.putOff(now)
			}
			for _, m := range s.step(now) {
				if m.typ == snapshot.Cluster {
					answer = &m
				}
			}
		}
		if answer == nil {
			t.Errorf("%s: not answered", c.what)
			continue
		}
		keeps := slices.ContainsFunc(answer.put, func(r *snapshot.Resource) bool { return r.Name == "gone" })
		if after := now.Sub(began) - time.Second; after != c.answers || keeps != c.keeps {
			t.Errorf("%s: answered after %s, keeps what it holds: %t", c.what, after, keeps)
		}
	}
}

// TestSentAgain asks the kernel about a connection whose peer reads, and about one
// whose peer does not.
func TestSentAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := near.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is acknowledged", func() bool { unacknowledged, _, ok := sentAgain(near); return ok && !unacknowledged })
	much := make([]byte, 64<<20)
	eventually(t, "what nobody reads is not acknowledged", func() bool {
		_ = near.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // which a busy machine lets pass
		_, _ = near.Write(much)
		unacknowledged, _, ok := sentAgain(near)
		return ok && unacknowledged
	})
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	if _, _, ok := sentAgain(one); ok {
		t.Error("a pipe has no packets")
	}
}
