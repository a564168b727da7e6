package discovery

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// script plays the proxy to a session by hand, and writes down what the
// session sends: "cds +a -b" is a response with a resource and a removal, "vhds ~c =d" one
// with a lease that is renewed and an answer.
type script struct {
	t      testing.TB
	s      *session
	delta  bool
	now    time.Time
	sent   []string
	flying map[snapshot.Type]string // nonce of the response that waits for an answer
}

func newScript(t testing.TB, stack snapshot.Stack, state bool) *script {
	now := time.Unix(1000, 0)
	return &script{t: t, delta: !state, now: now, flying: map[snapshot.Type]string{},
		s: newSession(newShared(1<<20), form{state: state, inline: state}, stack, now, 5*time.Second)}
}

// run lets the session send what it can.
func (p *script) run() {
	p.t.Helper()
	for _, m := range p.s.step(p.now) {
		p.sent = append(p.sent, p.line(&m))
	}
}

// line decodes a message.
func (p *script) line(m *message) string {
	p.t.Helper()
	data := m.buffers().Materialize()
	line := []string{m.typ.String()}
	if !p.delta {
		var r discoveryv3.DiscoveryResponse
		if err := proto.Unmarshal(data, &r); err != nil {
			p.t.Fatal(err)
		}
		p.flying[m.typ] = r.GetNonce()
		for _, a := range r.GetResources() {
			one, err := a.UnmarshalNew()
			if err != nil {
				p.t.Fatal(err)
			}
			switch named := one.(type) {
			case interface{ GetName() string }:
				line = append(line, "+"+named.GetName())
			case interface{ GetClusterName() string }:
				line = append(line, "+"+named.GetClusterName())
			}
		}
		return strings.Join(line, " ")
	}
	var r discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(data, &r); err != nil {
		p.t.Fatal(err)
	}
	if r.GetTypeUrl() != m.typ.TypeURL() {
		p.t.Fatalf("type URL %q", r.GetTypeUrl())
	}
	p.flying[m.typ] = r.GetNonce()
	for _, one := range r.GetResources() {
		switch {
		case one.GetResource() == nil && one.GetTtl() != nil: // a renewal
			line = append(line, "~"+one.GetName())
			continue
		case one.GetResource() == nil && slices.Equal(one.GetAliases(), []string{one.GetName()}): // an answer
			line = append(line, "="+one.GetName())
			continue
		}
		if one.GetResource().GetTypeUrl() != m.typ.TypeURL() || one.GetVersion() == "" {
			p.t.Fatalf("resource %v", one)
		}
		line = append(line, "+"+one.GetName())
	}
	for _, name := range r.GetRemovedResources() {
		line = append(line, "-"+name)
	}
	return strings.Join(line, " ")
}

// expect compares what was sent since the last time.
func (p *script) expect(lines ...string) {
	p.t.Helper()
	if !slices.Equal(p.sent, lines) {
		p.t.Fatalf("sent:\n\t%s\nwant:\n\t%s", strings.Join(p.sent, "\n\t"), strings.Join(lines, "\n\t"))
	}
	p.sent = nil
}

func (p *script) ask(r request) {
	p.t.Helper()
	r.known = true
	if err := p.s.request(r, p.now); err != nil {
		p.t.Fatal(err)
	}
	p.run()
}

func (p *script) subscribe(t snapshot.Type, names ...string) {
	p.t.Helper()
	p.ask(request{typ: t, subscribe: names})
}

func (p *script) unsubscribe(t snapshot.Type, names ...string) {
	p.t.Helper()
	p.ask(request{typ: t, unsubscribe: names})
}

func (p *script) ack(types ...snapshot.Type) {
	p.t.Helper()
	for _, t := range types {
		nonce := p.flying[t]
		if nonce == "" {
			p.t.Fatalf("no %s response to acknowledge", t)
		}
		delete(p.flying, t)
		p.ask(request{typ: t, nonce: nonce})
	}
}

func (p *script) nack(t snapshot.Type, text string) {
	p.t.Helper()
	nonce := p.flying[t]
	delete(p.flying, t)
	p.ask(request{typ: t, nonce: nonce, nack: true, refuse: text})
}

func (p *script) publish(stack snapshot.Stack) {
	p.s.publish(stack, p.now)
}

func (p *script) change(stack snapshot.Stack) {
	p.t.Helper()
	p.publish(stack)
	p.run()
}

// connect plays a fresh Envoy until it has all.
func (p *script) connect() {
	p.t.Helper()
	p.subscribe(snapshot.Cluster)
	p.ack(snapshot.Cluster)
	var names, routes []string
	for r := range p.s.latest.All(snapshot.Endpoint) {
		names = append(names, r.Name)
	}
	for r := range p.s.latest.All(snapshot.RouteConfig) {
		routes = append(routes, r.Name)
	}
	p.subscribe(snapshot.Endpoint, names...)
	p.ack(snapshot.Endpoint)
	p.subscribe(snapshot.Listener)
	p.ack(snapshot.Listener)
	p.subscribe(snapshot.RouteConfig, routes...)
	p.ack(snapshot.RouteConfig)
	p.subscribe(snapshot.VirtualHost)
	p.ack(snapshot.VirtualHost)
	p.sent = nil
}

// small is a mesh of one service "a".
func small(t testing.TB) snapshot.Stack {
	return snapshot.Stack{snapshot.NewRevision(
		rdsListener(t, "l80", 80, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
		edsCluster(t, "a", ""), endpoints(t, "a", 1), virtualHost(t, "80", "host", "a"),
	)}
}

func key(t snapshot.Type, name string) snapshot.Key { return snapshot.Key{Type: t, Name: name} }

// moved is small with the host moved to cluster "b", and "a" gone.
func moved(t testing.TB, from snapshot.Stack) snapshot.Stack {
	return with(from, []*snapshot.Resource{edsCluster(t, "b", ""), endpoints(t, "b", 2), virtualHost(t, "80", "host", "b")},
		key(snapshot.Cluster, "a"), key(snapshot.Endpoint, "a"))
}

func TestFirstConnect(t *testing.T) {
	p := newScript(t, small(t), false)
	p.subscribe(snapshot.Cluster)
	p.expect("cds +a")
	p.subscribe(snapshot.Endpoint, "a")
	p.expect("eds +a")
	p.subscribe(snapshot.Listener)
	p.expect("lds +l80")
	p.subscribe(snapshot.RouteConfig, "80")
	p.expect("rds +80")
	p.subscribe(snapshot.VirtualHost)
	p.expect("vhds +80/* +80/host")
	p.ack(snapshot.Cluster, snapshot.Endpoint, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost)
	p.expect()
}

func TestEmptyMeshIsAnswered(t *testing.T) {
	p := newScript(t, snapshot.Stack{}, false)
	p.subscribe(snapshot.Cluster)
	p.expect("cds")
	p.subscribe(snapshot.Listener, "*")
	p.expect("lds")
	p.subscribe(snapshot.Endpoint, "unknown")
	p.subscribe(snapshot.RouteConfig, "unknown")
	p.expect()
}

func TestOrderOfAMove(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(moved(t, p.s.latest))
	p.expect("cds +b")
	p.ack(snapshot.Cluster)
	p.expect() // accepted is not warm
	p.subscribe(snapshot.Endpoint, "b")
	p.expect("eds +b")
	p.ack(snapshot.Endpoint)
	p.expect("vhds +80/host")
	p.ack(snapshot.VirtualHost)
	p.expect("cds -a")
	p.unsubscribe(snapshot.Endpoint, "a")
	p.ack(snapshot.Cluster)
	p.expect()
	if p.s.phase != phaseIdle || len(p.s.linger)+len(p.s.awaited)+len(p.s.endpoints.missing) > 0 {
		t.Errorf("not at rest: %+v", p.s)
	}
}

func TestRoutesAloneGoAtOnce(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{virtualHost(t, "80", "host2", "a")}, key(snapshot.VirtualHost, "80/host")))
	p.expect("vhds +80/host2 -80/host")
}

func TestRemovalAlone(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, nil, key(snapshot.VirtualHost, "80/host"), key(snapshot.Cluster, "a"), key(snapshot.Endpoint, "a")))
	p.expect("vhds -80/host")
	p.ack(snapshot.VirtualHost)
	p.expect("cds -a")
}

func TestChangedClusterGetsItsEndpointsAgain(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{edsCluster(t, "a", "changed"), virtualHost(t, "80", "host2", "a")}))
	p.expect("cds +a", "eds +a")
	p.ack(snapshot.Cluster)
	p.expect()
	p.ack(snapshot.Endpoint)
	p.expect("vhds +80/host2")
}

func TestEndpointsDoNotWait(t *testing.T) {
	p := newScript(t, with(small(t), []*snapshot.Resource{edsCluster(t, "z", ""), endpoints(t, "z", 1)}), false)
	p.connect()
	p.change(moved(t, p.s.latest))
	p.expect("cds +b")
	p.change(with(p.s.latest, []*snapshot.Resource{endpoints(t, "z", 7)}))
	p.expect("eds +z")
}

// TestRoutesDoNotWaitForEndpoints that concern clusters which are warm already.
func TestRoutesDoNotWaitForEndpoints(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{endpoints(t, "a", 7)}))
	p.expect("eds +a")
	p.change(with(p.s.latest, []*snapshot.Resource{virtualHost(t, "80", "more", "a")}))
	p.expect("vhds +80/more")
	p.now = p.now.Add(time.Second)
	p.ack(snapshot.VirtualHost)
	if len(p.s.events.converged) != 0 {
		t.Error("converged with endpoints on their way")
	}
	p.ack(snapshot.Endpoint)
	if got := p.s.events.converged; len(got) != 1 || got[0] != time.Second {
		t.Errorf("converged %v", got)
	}
}

// TestCommonPartIsMadeOnce: proxies that differ in their own layers share the
// bytes of what they have in common.
func TestCommonPartIsMadeOnce(t *testing.T) {
	common := small(t)
	sh := newShared(1 << 20)
	var sent []mem.BufferSlice
	for i := range 2 {
		stack := common
		stack[snapshot.LayerInbound] = snapshot.NewRevision(edsCluster(t, fmt.Sprint("inbound", i), ""))
		p := newScript(t, stack, false)
		p.s.shared = sh
		for _, typ := range []snapshot.Type{snapshot.Cluster, snapshot.Endpoint} {
			if err := p.s.request(request{typ: typ, known: true, subscribe: []string{"a"}[:int(typ)]}, p.now); err != nil {
				t.Fatal(err)
			}
		}
		messages := p.s.step(p.now)
		if len(messages) != 2 {
			t.Fatalf("%d messages", len(messages))
		}
		sent = append(sent, messages[0].buffers(), messages[1].buffers())
	}
	part := func(message, i int) []byte { return sent[message][i].ReadOnlyData() }
	if &part(0, 0)[0] != &part(2, 0)[0] || &part(1, 0)[0] != &part(3, 0)[0] {
		t.Error("what is common was encoded twice")
	}
	if own := len(sent[0]) - 2; bytes.Equal(part(0, own), part(2, own)) {
		t.Error("what is not common is not there")
	}
}

func TestNewerRevisionsAreTakenTogether(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	stack := p.s.latest
	for i := range 10 {
		stack = with(stack, []*snapshot.Resource{virtualHost(t, "80", "host", fmt.Sprint("a", i)), virtualHost(t, "80", fmt.Sprint("h", i), "a")})
		p.change(stack)
	}
	p.expect("vhds +80/h0 +80/host")
	p.ack(snapshot.VirtualHost)
	p.expect("vhds +80/h1 +80/h2 +80/h3 +80/h4 +80/h5 +80/h6 +80/h7 +80/h8 +80/h9 +80/host")
}

// TestNewerRoutesNeedNotWait: what comes while clusters warm, and needs no
// other clusters, goes with them.
func TestNewerRoutesNeedNotWait(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	stack := moved(t, p.s.latest)
	p.change(stack)
	p.change(with(stack, []*snapshot.Resource{virtualHost(t, "80", "late", "b")}))
	p.expect("cds +b")
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.expect("eds +b", "vhds +80/host +80/late")
}

// TestRoutesAreNotStarved: clusters that keep coming do not hold routes back.
func TestRoutesAreNotStarved(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	stack := moved(t, p.s.latest)
	p.change(stack)
	p.change(with(stack, []*snapshot.Resource{edsCluster(t, "c", ""), endpoints(t, "c", 3), virtualHost(t, "80", "host", "c")}))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.expect("cds +b", "eds +b", "vhds +80/host")
	p.ack(snapshot.VirtualHost)
	p.expect("cds +c -a")
}

func TestComingBackWhileLingering(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	first := p.s.latest
	p.change(moved(t, first))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.expect("cds +b", "eds +b", "vhds +80/host")
	p.change(first) // before the old cluster is removed
	p.ack(snapshot.VirtualHost)
	p.expect("cds +a", "eds +a")
	p.ack(snapshot.Cluster, snapshot.Endpoint)
	p.expect("vhds +80/host")
	p.ack(snapshot.VirtualHost)
	p.expect("cds -b")
}

// tlsCluster is an EDS cluster whose certificate comes by SDS.
func tlsCluster(t testing.TB, name, secret string) *snapshot.Resource {
	tls := anyOf(t, &tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: secret, SdsConfig: adsSource()}}}})
	return res(t, snapshot.Cluster, name, &clusterv3.Cluster{Name: name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: adsSource()},
		TransportSocket:      &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls}}})
}

func TestSecretsBeforeRoutes(t *testing.T) {
	secret := func(mark string) *snapshot.Resource {
		return res(t, snapshot.Secret, "cert", &tlsv3.Secret{Name: "cert", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: mark}}}}})
	}
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{
		tlsCluster(t, "b", "cert"), endpoints(t, "b", 2), secret("one"), virtualHost(t, "80", "host", "b")}))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.expect("cds +b", "eds +b")
	p.subscribe(snapshot.Secret, "cert")
	p.expect("sds +cert")
	p.ack(snapshot.Secret)
	p.expect("vhds +80/host")
	p.ack(snapshot.VirtualHost)
	p.change(with(p.s.latest, []*snapshot.Resource{secret("two"), virtualHost(t, "80", "more", "b")}))
	p.expect("sds +cert", "vhds +80/more") // a rotation holds nothing back
	p.ack(snapshot.Secret, snapshot.VirtualHost)
	p.change(with(p.s.latest, []*snapshot.Resource{tlsCluster(t, "c", "cert"), endpoints(t, "c", 3), virtualHost(t, "80", "host", "c")}))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "c")
	p.ack(snapshot.Endpoint)
	p.expect("cds +c", "eds +c", "vhds +80/host") // the proxy has that secret
}

// TestSecretsThatNobodyAsksFor: a client that has let one secret pass unasked is waited
// for no more when the next cluster comes.
func TestSecretsThatNobodyAsksFor(t *testing.T) {
	secret := func(name string) *snapshot.Resource {
		return res(t, snapshot.Secret, name, &tlsv3.Secret{Name: name})
	}
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{tlsCluster(t, "b", "one"), endpoints(t, "b", 2), secret("one"), virtualHost(t, "80", "host", "b")}))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.expect("cds +b", "eds +b")
	p.now = p.s.deadline
	p.run()
	p.expect("vhds +80/host")
	p.ack(snapshot.VirtualHost)
	p.change(with(p.s.latest, []*snapshot.Resource{tlsCluster(t, "c", "two"), endpoints(t, "c", 3), secret("two"), virtualHost(t, "80", "host", "c")}))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "c")
	p.ack(snapshot.Endpoint)
	p.expect("cds +c", "eds +c", "vhds +80/host")
}

func TestWaitIsBounded(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(moved(t, p.s.latest))
	p.ack(snapshot.Cluster) // and never asks for endpoints
	p.expect("cds +b")
	p.now = p.s.deadline.Add(-time.Millisecond)
	p.run()
	p.expect()
	p.now = p.s.deadline
	p.run()
	p.expect("vhds +80/host")
	if !slices.Equal(p.s.events.overdue, []phase{phaseClusters}) {
		t.Errorf("overdue %v", p.s.events.overdue)
	}
}

func TestRefusedRouteKeepsClusters(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(moved(t, p.s.latest))
	p.ack(snapshot.Cluster)
	p.subscribe(snapshot.Endpoint, "b")
	p.ack(snapshot.Endpoint)
	p.sent = nil
	p.nack(snapshot.VirtualHost, "no")
	p.expect()
	p.change(with(p.s.latest, []*snapshot.Resource{virtualHost(t, "80", "other", "b")}))
	p.ack(snapshot.VirtualHost)
	p.expect("vhds +80/other") // the refused one still stands: "a" stays
	p.change(with(p.s.latest, []*snapshot.Resource{virtualHost(t, "80", "host", "b2")}))
	p.ack(snapshot.VirtualHost)
	p.expect("vhds +80/host", "cds -a")
}

func TestRefusedTogetherIsFoundApart(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.change(with(p.s.latest, []*snapshot.Resource{
		virtualHost(t, "80", "h1", "a"), virtualHost(t, "80", "h2", "a"), virtualHost(t, "80", "h3", "a"), virtualHost(t, "80", "h4", "a")}))
	p.expect("vhds +80/h1 +80/h2 +80/h3 +80/h4")
	p.nack(snapshot.VirtualHost, "missing )")
	p.expect("vhds +80/h1 +80/h2")
	p.ack(snapshot.VirtualHost)
	p.expect("vhds +80/h3 +80/h4")
	p.nack(snapshot.VirtualHost, "missing )")
	p.expect("vhds +80/h3")
	p.nack(snapshot.VirtualHost, "missing )")
	p.expect("vhds +80/h4")
	p.ack(snapshot.VirtualHost)
	p.expect()
	if got := p.s.events.refusals; len(got) != 1 || got[0].refused[0].Name != "80/h3" {
		t.Errorf("refusals %v", got)
	}
}

// TestAuthoritiesAreSentApart: a certificate of an authority that Envoy cannot read has it
// refuse no other secret.
func TestAuthoritiesAreSentApart(t *testing.T) {
	secret := func(name string) *snapshot.Resource {
		return res(t, snapshot.Secret, name, &tlsv3.Secret{Name: name})
	}
	p := newScript(t, snapshot.Stack{snapshot.NewRevision(secret("authorities:evil:evil/a"), secret("authorities:evil:evil/b"), secret("default"), secret("ROOTCA"))}, false)
	p.ask(request{typ: snapshot.Secret, subscribe: []string{"default", "authorities:evil:evil/a", "ROOTCA", "authorities:evil:evil/b"}})
	p.expect("sds +ROOTCA +default")
	p.ack(snapshot.Secret)
	p.expect("sds +authorities:evil:evil/a +authorities:evil:evil/b")
	p.nack(snapshot.Secret, "Failed to load trusted CA certificates from <inline>")
	p.expect("sds +authorities:evil:evil/a")
	p.nack(snapshot.Secret, "Failed to load trusted CA certificates from <inline>")
	p.expect("sds +authorities:evil:evil/b")
	p.ack(snapshot.Secret)
	p.expect()
	if got := p.s.events.refusals; len(got) != 1 || got[0].refused[0].Name != "authorities:evil:evil/a" || p.s.refusals != 0 {
		t.Errorf("refusals %v, %d of them count", got, p.s.refusals)
	}
}

// TestRefusedAuthoritiesAreFoundInTime: where very many authorities have been refused, each is
// tried by itself once, and what else is refused is still found.
func TestRefusedAuthoritiesAreFoundInTime(t *testing.T) {
	var all []*snapshot.Resource
	var names []string
	for i := range maxRefusals + 40 {
		name := fmt.Sprintf("authorities:evil:evil/%03d", i)
		all, names = append(all, res(t, snapshot.Secret, name, &tlsv3.Secret{Name: name})), append(names, name)
	}
	p := newScript(t, snapshot.Stack{snapshot.NewRevision(all...)}, false)
	p.ask(request{typ: snapshot.Secret, subscribe: names[:maxRefusals]})
	for p.s.types[snapshot.Secret].flight != nil {
		p.nack(snapshot.Secret, "Failed to load trusted CA certificates from <inline>")
	}
	if p.s.untrusted != maxRefusals || p.s.refusals != 0 {
		t.Fatalf("%d authorities are refused, and %d others", p.s.untrusted, p.s.refusals)
	}
	p.sent = nil
	p.ask(request{typ: snapshot.Secret, subscribe: names[maxRefusals:]})
	rounds := 0
	for ; p.s.types[snapshot.Secret].flight != nil; rounds++ {
		p.nack(snapshot.Secret, "Failed to load trusted CA certificates from <inline>")
	}
	if rounds != 41 || p.s.untrusted != maxRefusals+40 {
		t.Errorf("%d responses for 40 more, of which %d are refused", rounds, p.s.untrusted-maxRefusals)
	}
}

// TestPartsFindWhatIsStillNeeded: the parts of a response are looked up as the whole was, so
// that a secret which a cluster still needs is sent though it is gone from the newest stack.
func TestPartsFindWhatIsStillNeeded(t *testing.T) {
	const trusted = "authorities:b:b/a"
	p := newScript(t, small(t), false)
	p.connect()
	p.ask(request{typ: snapshot.Secret, subscribe: []string{trusted}})
	newest := p.s.latest
	p.s.target = with(newest, []*snapshot.Resource{tlsCluster(t, "c", trusted), res(t, snapshot.Secret, trusted, &tlsv3.Secret{Name: trusted})})
	p.s.types[snapshot.Secret].sent = newest
	p.s.types[snapshot.Secret].retry = []part{{names: []string{trusted}, from: newest}}
	if m := p.s.sendRetry(snapshot.Secret); m == nil {
		t.Error("the part is lost")
	}
}

func TestResume(t *testing.T) {
	stack := small(t)
	held := func(typ snapshot.Type) held {
		m := map[string]string{}
		for r := range stack.All(typ) {
			m[r.Name] = r.Version
		}
		return heldOf(t, m)
	}
	resume := func(p *script) {
		p.ask(request{typ: snapshot.Cluster, held: held(snapshot.Cluster)})
		p.ask(request{typ: snapshot.Endpoint, subscribe: []string{"a"}, held: held(snapshot.Endpoint)})
		p.ask(request{typ: snapshot.Listener, held: held(snapshot.Listener)})
		p.ask(request{typ: snapshot.RouteConfig, subscribe: []string{"80"}, held: held(snapshot.RouteConfig)})
		p.ask(request{typ: snapshot.VirtualHost, held: held(snapshot.VirtualHost)})
	}
	t.Run("unchanged", func(t *testing.T) {
		p := newScript(t, stack, false)
		resume(p)
		p.expect()
		p.change(with(stack, []*snapshot.Resource{virtualHost(t, "80", "new", "a")}))
		p.expect("vhds +80/new")
	})
	t.Run("changed", func(t *testing.T) {
		p := newScript(t, with(moved(t, stack), []*snapshot.Resource{edsCluster(t, "same", "")}), false)
		resume(p)
		p.expect("cds +b +same")
		p.ack(snapshot.Cluster)
		p.subscribe(snapshot.Endpoint, "b", "same")
		p.expect("eds +b")
		p.ack(snapshot.Endpoint)
		p.expect() // "same" has no endpoints yet
		p.change(with(p.s.latest, []*snapshot.Resource{endpoints(t, "same", 4)}))
		p.expect("eds +same")
		p.ack(snapshot.Endpoint)
		p.expect("vhds +80/host")
		p.ack(snapshot.VirtualHost)
		p.expect("cds -a")
	})
}

func TestWildcardRules(t *testing.T) {
	stack := with(small(t), []*snapshot.Resource{edsCluster(t, "b", "")})
	t.Run("by name only", func(t *testing.T) {
		p := newScript(t, stack, false)
		p.subscribe(snapshot.Cluster, "b", "none")
		p.expect("cds +b -none")
		p.ack(snapshot.Cluster)
		p.change(with(stack, []*snapshot.Resource{edsCluster(t, "a", "x"), edsCluster(t, "b", "x")}))
		p.expect("cds +b")
		p.ack(snapshot.Cluster)
		p.unsubscribe(snapshot.Cluster, "b", "none")
		p.subscribe(snapshot.Cluster, "*")
		p.expect("cds +a +b")
	})
	t.Run("wildcard and names", func(t *testing.T) {
		p := newScript(t, stack, false)
		p.subscribe(snapshot.Cluster, "*", "lazy")
		p.expect("cds +a +b -lazy")
		p.ack(snapshot.Cluster)
		p.subscribe(snapshot.Cluster, "a", "lazy2")
		p.expect("cds +a -lazy2")
		p.ack(snapshot.Cluster)
		p.unsubscribe(snapshot.Cluster, "a")
		p.expect("cds +a") // the wildcard still asks for it
		p.ack(snapshot.Cluster)
		p.unsubscribe(snapshot.Cluster, "*")
		p.expect()
		p.change(with(stack, []*snapshot.Resource{edsCluster(t, "a", "x"), edsCluster(t, "lazy", "")}))
		p.expect("cds +lazy")
	})
	t.Run("state of the world", func(t *testing.T) {
		p := newScript(t, stack, true)
		p.ask(request{typ: snapshot.Listener, names: []string{"none"}, digest: 1})
		p.expect("lds") // says that there is no such listener
		p.ask(request{typ: snapshot.Cluster})
		p.expect("cds +a +b")
		p.ask(request{typ: snapshot.Cluster, nonce: p.flying[snapshot.Cluster], names: []string{"b"}, digest: 2})
		p.expect("cds +b")
		p.ask(request{typ: snapshot.Cluster, nonce: p.flying[snapshot.Cluster], digest: 3})
		p.change(with(stack, []*snapshot.Resource{edsCluster(t, "b", "x")}))
		p.expect() // no names after names: nothing
	})
}

func TestStateOfTheWorldKeepsOldClusters(t *testing.T) {
	p := newScript(t, small(t), true)
	ask := func(typ snapshot.Type, digest uint64, names ...string) {
		p.ask(request{typ: typ, names: names, digest: digest, nonce: p.flying[typ]})
	}
	ask(snapshot.Cluster, 0)
	ask(snapshot.Cluster, 0)
	ask(snapshot.Endpoint, 1, "a")
	ask(snapshot.Endpoint, 1, "a")
	ask(snapshot.Listener, 0)
	ask(snapshot.Listener, 0)
	ask(snapshot.RouteConfig, 2, "80")
	ask(snapshot.RouteConfig, 2, "80")
	p.expect("cds +a", "eds +a", "lds +l80", "rds +80")
	p.change(moved(t, p.s.latest))
	p.expect("cds +b +a")
	ask(snapshot.Cluster, 0)
	p.expect()
	ask(snapshot.Endpoint, 3, "a", "b")
	p.expect("eds +b")
	ask(snapshot.Endpoint, 3, "a", "b")
	p.expect("rds +80")
	ask(snapshot.RouteConfig, 2, "80")
	p.expect("cds +b")
	ask(snapshot.Cluster, 0)
	ask(snapshot.Endpoint, 4, "b")
	p.expect()
}

// TestStepsAreForgotten: a step that nobody asks for any more goes, and with it
// the revisions that it leads to; one that is in use stays.
func TestStepsAreForgotten(t *testing.T) {
	s := newSteps(1 << 20)
	old := stepKey{typ: snapshot.Cluster, to: small(t), all: true}
	s.get(old)
	time.Sleep(2 * time.Millisecond)
	since := time.Now()
	used := old
	used.typ = snapshot.Endpoint
	kept := s.get(used)
	s.forget(since)
	if s.cache.Len() != 1 || s.get(used) != kept || s.bytes != kept.cost {
		t.Errorf("%d steps of %d bytes", s.cache.Len(), s.bytes)
	}
}

// TestStateOfTheWorldComesBack has a client back whose cluster is gone: it keeps
// it until its routes have moved, though nobody knows it any more.
func TestStateOfTheWorldComesBack(t *testing.T) {
	p := newScript(t, moved(t, small(t)), true)
	ask := func(typ snapshot.Type, version string, digest uint64, names ...string) {
		p.t.Helper()
		p.ask(request{typ: typ, names: names, digest: digest, nonce: p.flying[typ], version: version})
	}
	ask(snapshot.Cluster, "old", 0)
	p.expect() // which does it hold?
	ask(snapshot.Endpoint, "old", 1, "a")
	p.expect("cds +b +a")
	ask(snapshot.Listener, "old", 0)
	ask(snapshot.RouteConfig, "old", 2, "80")
	p.expect() // the new cluster is not warm
	// Envoy does not acknowledge the clusters while one is not warm.
	ask(snapshot.Endpoint, "", 3, "a", "b", standInPrefix+"a")
	p.expect("eds +b")
	ask(snapshot.Endpoint, "", 3, "a", "b", standInPrefix+"a")
	p.expect("lds +l80", "rds +80")
	ask(snapshot.Listener, "", 0)
	p.expect()
	ask(snapshot.RouteConfig, "", 2, "80")
	p.expect("cds +b")
	ask(snapshot.Cluster, "", 0)
	ask(snapshot.Endpoint, "", 4, "b")
	p.expect()
	if p.s.standsIn || len(p.s.linger) > 0 || !p.s.complete {
		t.Errorf("at rest: %+v", p.s.linger)
	}
}

// TestStateOfTheWorldComesBackUnchanged is answered without delay.
func TestStateOfTheWorldComesBackUnchanged(t *testing.T) {
	p := newScript(t, small(t), true)
	version := p.s.form.version(p.s.latest, snapshot.Cluster)
	p.ask(request{typ: snapshot.Cluster, version: version})
	p.ask(request{typ: snapshot.Endpoint, names: []string{"a"}, digest: 1, version: "x"})
	p.expect("eds +a")
	p.ask(request{typ: snapshot.Listener, version: "x"})
	p.expect("lds +l80")
}

// TestStateOfTheWorldThatNamesNoEndpoints waits only so long.
func TestStateOfTheWorldThatNamesNoEndpoints(t *testing.T) {
	p := newScript(t, small(t), true)
	p.ask(request{typ: snapshot.Cluster, version: "old"})
	p.ask(request{typ: snapshot.Listener, version: "old"})
	p.expect()
	p.now = p.now.Add(6 * time.Second)
	p.run()
	p.expect("cds +a", "lds +l80")
}
