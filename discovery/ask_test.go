package discovery

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/snapshot"
)

// learner plays a proxy that learns, and the engine that it is taught by.
type learner struct {
	*script
	knows map[string]snapshot.Stack // by name: what is to be seen once it was asked for
	hosts map[string]string
}

func newLearner(t *testing.T, stack snapshot.Stack) *learner {
	p := &learner{script: newScript(t, stack, false), knows: map[string]snapshot.Stack{}, hosts: map[string]string{}}
	p.s.questions.learns = true
	return p
}

// question hands in a request, and what the engine says to it, as a stream does.
func (p *learner) question(r request) {
	p.t.Helper()
	r.typ, r.known = snapshot.VirtualHost, true
	if err := p.s.request(r, p.now); err != nil {
		p.t.Fatal(err)
	}
	heard, listed := p.s.takeHeard()
	heard = append(heard, listed...)
	hosts := make([]string, len(heard))
	for i, name := range heard {
		if hosts[i] = p.hosts[name]; hosts[i] != "" {
			p.publish(p.knows[name])
		}
	}
	p.s.answer(heard, hosts)
	p.s.settleRecalled()
	p.run()
}

// teach has a name answered by a virtual host that leads to a new cluster.
func (p *learner) teach(name, host, cluster string) {
	p.hosts[name] = "80/" + host
	p.knows[name] = with(p.s.latest, []*snapshot.Resource{edsCluster(p.t, cluster, ""), endpoints(p.t, cluster, 2), virtualHost(p.t, "80", host, cluster)})
}

// leased is small with a virtual host that proxies let go of.
func leased(t *testing.T) snapshot.Stack {
	return with(small(t), []*snapshot.Resource{virtualHost(t, "80", "ask", "").Lease()})
}

// TestQuestionIsAnsweredWhenClustersAreWarm: the virtual host and the answer come in one
// response, after the clusters; one that is its own answer comes once.
func TestQuestionIsAnsweredWhenClustersAreWarm(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	for _, name := range []string{"80/b", "80/c.example"} {
		cluster := name[3:4]
		p.teach(name, cluster+".example", cluster)
		p.question(request{subscribe: []string{name}})
		p.expect("cds +" + cluster)
		p.ack(snapshot.Cluster)
		p.subscribe(snapshot.Endpoint, cluster)
		p.expect("eds +" + cluster)
		p.ack(snapshot.Endpoint)
		if name == "80/b" {
			p.expect("vhds +80/b.example =80/b")
		} else {
			p.expect("vhds +80/c.example")
		}
		p.ack(snapshot.VirtualHost)
		p.expect()
	}
	if len(p.s.questions.open) > 0 || p.s.phase != phaseIdle {
		t.Errorf("open questions: %v, phase %s", p.s.questions.open, p.s.phase)
	}
}

// TestUnknownNameIsAnswered: the request goes on without a host.
func TestUnknownNameIsAnswered(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	p.question(request{subscribe: []string{"80/nobody", "80/" + strings.Repeat("x", maxAsked)}})
	p.expect("vhds =80/nobody =80/" + strings.Repeat("x", maxAsked))
	p.ack(snapshot.VirtualHost)
	p.question(request{unsubscribe: []string{"80/nobody"}})
	p.expect("vhds -80/nobody") // else it would list the name for ever

	long := "80/" + strings.Repeat("y", 20)
	p.question(request{subscribe: []string{long}}) // while that is on its way
	p.question(request{unsubscribe: []string{long}})
	p.ack(snapshot.VirtualHost)
	p.expect("vhds =" + long) // the request waits
	p.question(request{subscribe: []string{"80/else"}, unsubscribe: []string{long}})
	p.question(request{subscribe: []string{long}})
	p.ack(snapshot.VirtualHost)
	p.expect("vhds =80/else =" + long) // and not removed
}

// TestLeasesAreRenewed: in time, alone, and whole when the proxy has let go of them.
func TestLeasesAreRenewed(t *testing.T) {
	p := newLearner(t, leased(t))
	p.connect()
	p.now = p.now.Add(renewTime)
	p.run()
	p.expect("vhds ~80/ask")
	p.ack(snapshot.VirtualHost)
	p.now = p.now.Add(renewTime / 2)
	p.run()
	p.expect()
	p.now = p.now.Add(renewTime)
	p.run()
	p.expect("vhds ~80/ask")
	p.nack(snapshot.VirtualHost, "type URL embedded in an individual Any")
	p.expect("vhds +80/ask")
	p.ack(snapshot.VirtualHost)
	if n := len(p.s.types[snapshot.VirtualHost].rejected); n > 0 || p.s.refusals > 0 {
		t.Error("a lease that has ended counts as a refusal")
	}
}

// TestProxyComesBackWithWhatItLearned: what it asked for at another control plane it keeps
// if that is a host here too, and not otherwise; what it waits for is answered.
func TestProxyComesBackWithWhatItLearned(t *testing.T) {
	stack := leased(t)
	p := newLearner(t, stack)
	p.teach("80/b.example", "b.example", "b")
	p.hosts["80/b"], p.knows["80/b"] = p.hosts["80/b.example"], p.knows["80/b.example"]
	p.ask(request{typ: snapshot.Cluster, held: heldOf(t, map[string]string{"a": stack.Get(snapshot.Cluster, "a").Version, "b": p.knows["80/b"].Get(snapshot.Cluster, "b").Version, "gone": "1"})})
	p.ask(request{typ: snapshot.Endpoint, subscribe: []string{"a", "b", "gone"}, held: heldOf(t, map[string]string{"a": stack.Get(snapshot.Endpoint, "a").Version, "b": p.knows["80/b"].Get(snapshot.Endpoint, "b").Version, "gone": "1"})})
	p.ask(request{typ: snapshot.Listener, held: heldOf(t, map[string]string{"l80": stack.Get(snapshot.Listener, "l80").Version})})
	p.ask(request{typ: snapshot.RouteConfig, subscribe: []string{"80"}, held: heldOf(t, map[string]string{"80": stack.Get(snapshot.RouteConfig, "80").Version})})
	p.sent = nil
	p.question(request{subscribe: []string{"*", "80/b", "80/waits"}, held: heldOf(t, map[string]string{
		"80/*": stack.Get(snapshot.VirtualHost, "80/*").Version, "80/host": stack.Get(snapshot.VirtualHost, "80/host").Version,
		"80/b": snapshot.AnsweredVersion, "80/b.example": p.knows["80/b"].Get(snapshot.VirtualHost, "80/b.example").Version, "80/gone.example": "1",
	})})
	p.acknowledgeAll()
	all := strings.Join(p.sent, "; ")
	for _, never := range []string{"-80/b.example", "-80/b ", "-b"} {
		if strings.Contains(all+" ", never) {
			t.Errorf("%q takes away what the proxy uses", all)
		}
	}
	for _, wanted := range []string{"+80/ask", "-80/gone.example", "=80/waits", "-gone"} {
		if !strings.Contains(all, wanted) {
			t.Errorf("%q lacks %s", all, wanted)
		}
	}
}

// TestProxyThatHeldAllForgets: one that comes back from a mesh without a learned scope does
// not use all that it holds.
func TestProxyThatHeldAllForgets(t *testing.T) {
	p := newLearner(t, leased(t))
	p.subscribe(snapshot.Cluster)
	p.subscribe(snapshot.Listener)
	p.subscribe(snapshot.RouteConfig, "80")
	p.ack(snapshot.Cluster, snapshot.Listener, snapshot.RouteConfig)
	p.sent = nil
	p.question(request{held: heldOf(t, map[string]string{"80/host": "1", "80/other": "1"})})
	p.expect("vhds +80/* +80/ask +80/host -80/other")
}

// acknowledgeAll plays a proxy that takes whatever comes.
func (p *learner) acknowledgeAll() {
	p.t.Helper()
	for range 8 {
		for typ := range snapshot.NumTypes {
			if p.flying[typ] != "" {
				p.ack(typ)
			}
		}
	}
}

// warm has the clusters of an answer accepted.
func (p *learner) warm(cluster string) {
	p.t.Helper()
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, cluster)
	p.ack(snapshot.Endpoint)
}

// TestRefusedAnswersGoAgain: an answer that is lost with a response that the proxy refuses comes
// by itself, and a virtual host that is refused and would be its own answer is answered for.
func TestRefusedAnswersGoAgain(t *testing.T) {
	for name, host := range map[string]string{"80/b": "b.example", "80/b.example": "b.example"} {
		p := newLearner(t, small(t))
		p.connect()
		p.teach(name, host, "b")
		p.question(request{subscribe: []string{name}})
		p.warm("b")
		p.sent = nil
		p.nack(snapshot.VirtualHost, "some route is bad")
		p.acknowledgeAll()
		if all := strings.Join(p.sent, "; "); !strings.Contains(all, "="+name) {
			t.Errorf("%s: after the refusal %q was sent, and no answer", name, all)
		}
	}
}

// TestManyQuestionsAreAllLookedFor: a host is not taken for none because of many others.
func TestManyQuestionsAreAllLookedFor(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("80/invented-%d", i))
	}
	p.question(request{subscribe: []string{"80/first"}}) // its answer is under way
	p.question(request{subscribe: names})
	p.teach("80/b", "b.example", "b")
	p.question(request{subscribe: []string{"80/b"}})
	p.ack(snapshot.VirtualHost)
	p.warm("b")
	p.acknowledgeAll()
	for _, line := range p.sent {
		if strings.Contains(line+" ", "=80/b ") && !strings.Contains(line, "+80/b.example") {
			t.Error("a host is answered without its virtual host")
		}
	}
	if all := strings.Join(p.sent, "; "); !strings.Contains(all, "+80/b.example") {
		t.Error("a host is not answered")
	}
}

// returned is a learner that comes back with the names that it asked for and the virtual hosts
// that it holds beside those of the stack.
func returned(t *testing.T, stack snapshot.Stack, p *learner, asked []string, more map[string]string) {
	t.Helper()
	b := p.knows["80/b.example"]
	p.ask(request{typ: snapshot.Cluster, held: heldOf(t, map[string]string{"a": stack.Get(snapshot.Cluster, "a").Version, "b": b.Get(snapshot.Cluster, "b").Version})})
	p.ask(request{typ: snapshot.Endpoint, subscribe: []string{"a", "b"}, held: heldOf(t, map[string]string{"a": stack.Get(snapshot.Endpoint, "a").Version, "b": b.Get(snapshot.Endpoint, "b").Version})})
	p.ask(request{typ: snapshot.Listener, held: heldOf(t, map[string]string{"l80": stack.Get(snapshot.Listener, "l80").Version})})
	p.ask(request{typ: snapshot.RouteConfig, subscribe: []string{"80"}, held: heldOf(t, map[string]string{"80": stack.Get(snapshot.RouteConfig, "80").Version})})
	p.sent = nil
	held := map[string]string{"80/*": stack.Get(snapshot.VirtualHost, "80/*").Version, "80/host": stack.Get(snapshot.VirtualHost, "80/host").Version}
	maps.Copy(held, more)
	p.question(request{subscribe: append([]string{wildcard}, asked...), held: heldOf(t, held)})
}

// TestOwnNamesAreKept: a proxy that has asked by names that virtual hosts bear has no answer that
// tells so, and comes back to a control plane that knows nothing.
func TestOwnNamesAreKept(t *testing.T) {
	stack := leased(t)
	p := newLearner(t, stack)
	p.teach("80/b.example", "b.example", "b")
	returned(t, stack, p, []string{"80/b.example"}, map[string]string{"80/b.example": p.knows["80/b.example"].Get(snapshot.VirtualHost, "80/b.example").Version})
	p.acknowledgeAll()
	if all := strings.Join(p.sent, "; ") + " "; strings.Contains(all, "-80/b.example") || strings.Contains(all, "-b ") {
		t.Errorf("%q takes away what the proxy has asked for", all)
	}
}

// TestLeasesAreRenewedWhenAProxyComesBack: their time runs on while the control plane is away.
func TestLeasesAreRenewedWhenAProxyComesBack(t *testing.T) {
	stack := leased(t)
	p := newLearner(t, stack)
	p.teach("80/b.example", "b.example", "b")
	returned(t, stack, p, nil, map[string]string{"80/ask": stack.Get(snapshot.VirtualHost, "80/ask").Version})
	p.acknowledgeAll()
	if all := strings.Join(p.sent, "; "); !strings.Contains(all, "~80/ask") {
		t.Errorf("at once there was sent %q, and no renewal", all)
	}
}

// TestQuestionsDoNotStarveLeases: they are renewed in time whatever is asked.
func TestQuestionsDoNotStarveLeases(t *testing.T) {
	p := newLearner(t, leased(t))
	p.connect()
	p.question(request{subscribe: []string{"80/x"}})
	renewed := p.now
	for i := range 120 {
		p.now = p.now.Add(snapshot.LeaseTime / 60)
		p.question(request{subscribe: []string{fmt.Sprintf("80/x%d", i)}}) // while the answer before is under way
		p.sent = nil
		p.ack(snapshot.VirtualHost)
		if strings.Contains(strings.Join(p.sent, " "), "~80/ask") {
			renewed = p.now
		}
		if p.now.Sub(renewed) > snapshot.LeaseTime/2 {
			t.Fatalf("a lease was not renewed for %v", p.now.Sub(renewed))
		}
	}
}

// TestAnswersThatAreAlwaysRefused: a proxy that takes no answer is not sent it for ever.
func TestAnswersThatAreAlwaysRefused(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	p.question(request{subscribe: []string{"80/nobody"}})
	for range 2 * maxRefusals {
		if p.flying[snapshot.VirtualHost] != "" {
			p.nack(snapshot.VirtualHost, "no")
		}
	}
	if p.flying[snapshot.VirtualHost] != "" {
		t.Errorf("after %d refusals the answer is sent once more", 2*maxRefusals)
	}
}

// TestForgettingComesBeforeRemoval: a proxy of a workload that has forgotten a host loses it
// when the proxy has taken the route configuration by which it forgets that it was answered.
func TestForgettingComesBeforeRemoval(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	config := p.s.latest.Get(snapshot.RouteConfig, "80").InEra(1)
	p.publish(with(p.s.latest, []*snapshot.Resource{config}, snapshot.Key{Type: snapshot.VirtualHost, Name: "80/host"}))
	p.run()
	p.expect("rds +80")
	if r := framed(config); r.Version == p.s.types[snapshot.RouteConfig].acked.Get(snapshot.RouteConfig, "80").Version || bytes.Equal(r.Body(), framed(config.InEra(2)).Body()) {
		t.Error("eras do not differ")
	}
	p.ack(snapshot.RouteConfig)
	p.expect("vhds -80/host")
	p.ack(snapshot.VirtualHost)
}

// TestNothingIsForgottenUnheard: a proxy that refuses the route configuration keeps the virtual
// host, for which it would not ask again, until it has taken another one.
func TestNothingIsForgottenUnheard(t *testing.T) {
	p := newLearner(t, small(t))
	p.connect()
	base := p.s.latest.Get(snapshot.RouteConfig, "80")
	p.publish(with(p.s.latest, []*snapshot.Resource{base.InEra(1)}, snapshot.Key{Type: snapshot.VirtualHost, Name: "80/host"}))
	p.run()
	p.expect("rds +80")
	p.nack(snapshot.RouteConfig, "no")
	p.acknowledgeAll()
	if all := strings.Join(p.sent, "; "); strings.Contains(all, "-80/host") {
		t.Errorf("%q takes away what the proxy would not ask for", all)
	}
	p.publish(with(p.s.latest, []*snapshot.Resource{base.InEra(2)}))
	p.run()
	p.acknowledgeAll()
	if all := strings.Join(p.sent, "; "); !strings.Contains(all, "-80/host") {
		t.Errorf("%q lacks -80/host", all)
	}
}
