package discovery

import (
	"sync"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// TestUnknownSecretsAreTold: a name of a secret that there is none of is answered as
// removed to a proxy that starts, which else waits for it until its timeout. Later it is
// not: the proxy keeps what it had until the secret comes.
func TestUnknownSecretsAreTold(t *testing.T) {
	p := newScript(t, small(t), false)
	p.subscribe(snapshot.Cluster)
	p.subscribe(snapshot.Secret, "nobodys")
	p.expect("cds +a", "sds -nobodys")
	p.ack(snapshot.Secret)

	p = newScript(t, small(t), false)
	p.connect()
	p.subscribe(snapshot.Secret, "nobodys")
	p.expect()
}

// TestFirstLoadIsNoConvergence: the time from a change until a proxy has it is taken of
// changes, not of what a proxy is given first, however old that is.
func TestFirstLoadIsNoConvergence(t *testing.T) {
	p := newScript(t, small(t), false)
	p.now = p.now.Add(time.Hour)
	p.connect()
	if n := p.s.events.converged; len(n) > 0 {
		t.Errorf("the first load is told as a change that took %v", n)
	}
	p.change(with(p.s.latest, []*snapshot.Resource{virtualHost(t, "80", "more", "a")}))
	p.now = p.now.Add(time.Second)
	p.ack(snapshot.VirtualHost)
	if n := p.s.events.converged; len(n) != 1 || n[0] != time.Second {
		t.Errorf("a change that took a second is told as %v", n)
	}
}

// TestBytesOfStepsAdd: the cache of steps counts the bytes of what it has, also while many
// make steps, some of which are dropped before they are made.
func TestBytesOfStepsAdd(t *testing.T) {
	s := newSteps(20 * stepBytes)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			s.get(stepKey{typ: snapshot.VirtualHost, to: small(t), names: &names{}, form: form{state: i%2 == 0}})
		})
	}
	all.Wait()
	s.mu.Lock()
	held := s.bytes
	s.mu.Unlock()
	if held <= 0 || held > 20*stepBytes {
		t.Errorf("%d bytes are counted, of which %d may be kept", held, 20*stepBytes)
	}
	s.forget(time.Now().Add(time.Hour))
	if s.bytes != 0 {
		t.Errorf("an empty cache counts %d bytes", s.bytes)
	}
}
