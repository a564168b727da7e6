package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/snapshot"
)

// stream is the I/O of one session: a goroutine that receives, and one that
// waits for newer stacks. Whichever has something for the session takes the
// turn, hands it in and sends what comes out, so that an acknowledgement wakes
// nobody else.
type stream struct {
	via     *service
	grpc    grpc.ServerStream
	conn    net.Conn // nil when the transport does not tell
	meter   *meter
	payer   podKey   // on whose account the stream is
	account *account // of payer; nil while that is not known
	delta   bool
	since   time.Time
	client  *snapshot.Client // complete before attached is, and never changed from then on
	failed  chan error       // what ends the stream; the first counts

	turn  sync.Mutex  // held by who moves the session on and sends
	over  bool        // the stream has ended; guarded by turn
	alarm *time.Timer // likewise
	rings time.Time   // when alarm does; zero when it does not; likewise
	link  link        // likewise

	joining atomic.Bool  // it has a place that it has to give back, see join
	sending atomic.Int64 // since when a message is being sent, in nanoseconds from since on; 0: none is

	mu      sync.Mutex // guards session against State; only who has the turn changes it
	session *session
	court   *court         // of the proxy's namespace; set with session
	view    *snapshot.View // what the session follows; set with session
}

func newStream(v *service, g grpc.ServerStream, of connInfo, delta bool) *stream {
	return &stream{via: v, grpc: g, conn: of.conn, meter: of.meter, delta: delta, since: time.Now(), failed: make(chan error, 1), client: &snapshot.Client{Delta: delta}}
}

// run serves the stream until it ends.
func (st *stream) run(ctx context.Context) error {
	if err := st.ready(ctx); err != nil {
		return err
	}
	if err := st.join(ctx); err != nil {
		return err
	}
	defer st.joined()
	first, attached := make(chan request, 1), make(chan struct{})
	go func() { st.fail(st.receive(ctx, first, attached)) }()

	view, err := st.open(ctx, first)
	if err != nil || view == nil {
		return err
	}
	defer view.Close()
	st.via.server.metrics.connected(1)
	defer st.via.server.metrics.connected(-1)
	defer st.end()
	close(attached)
	if proof := st.client.Identity.Expires; !proof.IsZero() {
		defer time.AfterFunc(spread(time.Until(proof)), func() {
			st.fail(status.Error(codes.Unavailable, "the credential that this stream was opened with ends: connect anew with a newer one"))
		}).Stop()
	}
	return st.loop(view)
}

// fail ends the stream.
func (st *stream) fail(err error) {
	select {
	case st.failed <- err:
	default:
	}
}

// end sees to it that nothing is sent any more.
func (st *stream) end() {
	st.turn.Lock()
	defer st.turn.Unlock()
	if !st.over {
		st.via.server.shared.courts.leave(st.client.Namespace, st.session.juror.workload)
	}
	st.over = true
	st.alarm.Stop()
}

// receive reads messages until the stream ends. The first is for open; the
// others wait for what open does.
func (st *stream) receive(ctx context.Context, first chan<- request, attached <-chan struct{}) error {
	r, err := st.read()
	if err != nil {
		return err
	}
	first <- r
	select {
	case <-attached:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		if r, err = st.read(); err != nil {
			return err
		}
		if err := st.act(func() error { return st.handle(r) }); err != nil {
			return err
		}
	}
}

// act takes the turn, hands something to the session and sends what comes out.
func (st *stream) act(hand func() error) error {
	st.turn.Lock()
	defer st.turn.Unlock()
	if st.over {
		return nil
	}
	if err := hand(); err != nil {
		return err
	}
	return st.advance()
}

func (st *stream) read() (request, error) {
	r := request{state: !st.delta}
	err := st.grpc.RecvMsg(&r)
	if err == nil {
		st.meter.took(r.size)
	}
	return r, err
}

// open waits for the first message, and attaches the client that it names. A
// nil view means that the client went away.
func (st *stream) open(ctx context.Context, requests <-chan request) (*snapshot.View, error) {
	patience := time.NewTimer(st.via.server.config.HandshakeTimeout)
	defer patience.Stop()
	var first request
	select {
	case first = <-requests:
	case err := <-st.failed:
		return nil, ended(err)
	case <-patience.C:
		return nil, status.Error(codes.DeadlineExceeded, "the first message did not come")
	}
	client, err := clientOf(first.node, st.via.server.builds)
	if err != nil {
		if st.via.server.once("node " + first.node.GetId()) {
			st.via.server.config.Log.Warn("refused a proxy", "peer", st.client.Peer, "err", err)
		}
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if st.account == nil {
		st.payer = podKey{client.Namespace, client.Pod}
		if err := st.charge(); err != nil {
			return nil, err
		}
	}
	client.Delta, client.Peer, client.Identity = st.delta, st.client.Peer, st.client.Identity
	client.VHDS = st.delta && client.UserAgent == "envoy" && client.Version.AtLeast(oldestMajor, oldestMinor)
	client.First, client.Returns = first.typ, first.held.count > 0
	if first.known && first.typ == snapshot.Runtime {
		client.Runtime = first.held.versions()[snapshot.RuntimeName]
	}
	st.remarkVersion(client)
	view, err := st.via.server.config.Attach(ctx, &client)
	if err != nil {
		if status.Code(err) != codes.PermissionDenied {
			st.via.server.metrics.pilotErrors.Inc()
		}
		return nil, asStatus(err, codes.Unavailable)
	}
	stack, at := view.Published()
	by := st.via.server.jurorOf(&client)
	st.mu.Lock()
	st.client, st.view = &client, view
	st.court = st.via.server.shared.courts.enter(client.Namespace, by.workload)
	st.session = newSession(st.via.server.shared, form{state: !st.delta, inline: !client.VHDS}, stack, at, st.via.server.config.PhaseTimeout)
	st.session.court, st.session.juror = st.court, by
	st.session.questions.learns = view.Learns()
	st.mu.Unlock()
	st.alarm = time.AfterFunc(time.Hour, func() {
		if err := st.act(func() error { st.rings = time.Time{}; return nil }); err != nil {
			st.fail(err)
		}
	})
	if err := st.act(func() error { return st.handle(first) }); err != nil {
		st.end()
		view.Close()
		return nil, err
	}
	return view, nil
}

// jurorOf is the client as the court of its namespace knows it.
func (s *Server) jurorOf(c *snapshot.Client) juror {
	workload := c.Pod
	if s.config.Workload != nil {
		workload = cmp.Or(s.config.Workload(c.Namespace, c.Pod), workload)
	}
	return juror{pod: c.Pod, workload: workload}
}

// tooOld says whether the client is an Envoy that lacks what is generated.
func tooOld(c snapshot.Client) bool {
	return c.UserAgent == "envoy" && !c.Version.AtLeast(oldestMajor, oldestMinor)
}

func (st *stream) remarkVersion(c snapshot.Client) {
	if tooOld(c) && st.via.server.once("version "+c.NodeID) {
		st.via.server.config.Log.Warn("this Envoy is too old: it gets whole route tables, and may refuse what it does not know; run Envoy 1.38 or newer",
			"proxy", c.NodeID, "version", fmt.Sprintf("%d.%d.%d", c.Version.Major, c.Version.Minor, c.Version.Patch))
	}
}

// loop hands newer stacks to the session until the stream ends. All that ends
// it comes by one channel, since each that is waited for costs at every change.
func (st *stream) loop(view *snapshot.View) error {
	for {
		select {
		case <-view.Changed():
			if err := view.Why(); err != nil {
				return asStatus(err, codes.Unavailable)
			}
			err := st.act(func() error {
				stack, at := view.Published()
				st.via.server.metrics.pilotQueue.Observe(time.Since(at).Seconds())
				st.mu.Lock()
				st.session.publish(stack, at)
				st.mu.Unlock()
				return nil
			})
			if err != nil {
				return err
			}
		case err := <-st.failed:
			return ended(err)
		}
	}
}

// spread is up to a tenth less than what is left until a credential ends, so
// that no stream outlives it; many were issued at once.
func spread(left time.Duration) time.Duration {
	left = max(0, left)
	return left - rand.N(left/10+1)
}

// closeStuck closes the connection when a message is being sent since before a
// moment. A timer for each message would cost more than most messages do.
func (st *stream) closeStuck(before time.Time) {
	since := st.sending.Load()
	if since == 0 || since > int64(before.Sub(st.since)) || !st.sending.CompareAndSwap(since, 0) {
		return
	}
	st.lost(lostUnread, "a proxy does not read what it is sent; its connection is closed", time.Since(st.since)-time.Duration(since))
	if st.conn != nil {
		_ = st.conn.Close()
	}
}

// arm has the alarm ring at the deadline, or before: then it is armed anew, so
// that it is not touched for each step.
func (st *stream) arm(deadline time.Time) {
	if deadline.IsZero() || !st.rings.IsZero() && !st.rings.After(deadline) {
		return
	}
	st.rings = deadline
	st.alarm.Reset(time.Until(deadline))
}

// handle gives one message to the session.
func (st *stream) handle(r request) error {
	if !r.known {
		if st.via.server.once("type " + r.url) {
			st.via.server.config.Log.Info("a proxy asks for a type of resource that Fairway does not serve", "proxy", st.client.NodeID, "type", excerpt(r.url))
		}
		return nil
	}
	if r.nack {
		st.via.server.metrics.refused(r.typ)
	}
	st.mu.Lock()
	err := st.session.request(r, time.Now())
	heard, listed := st.session.takeHeard()
	st.mu.Unlock()
	if err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	if len(heard)+len(listed) > 0 {
		st.ask(heard, listed)
	}
	return nil
}

// ask has the proxy's workload learn names that it asks for, and those that it was answered on
// an earlier stream.
func (st *stream) ask(heard, listed []string) {
	var known, hosts []string
	if len(listed) > 0 {
		known = st.view.Recall(listed)
	}
	if len(heard) > 0 {
		hosts = st.view.Ask(heard)
	}
	stack, at := st.view.Published()
	st.mu.Lock()
	defer st.mu.Unlock()
	if stack != st.session.latest {
		st.session.publish(stack, at)
	}
	st.session.answer(listed, known)
	st.session.answer(heard, hosts)
	st.session.settleRecalled()
}

// advance sends all that the session has to send now.
func (st *stream) advance() error {
	now := time.Now()
	st.mu.Lock()
	if st.session.overdue(now) && (st.loses(now) || st.session.unheard()) {
		st.session.putOff(now)
	}
	messages := st.session.step(now)
	happened, deadline, renew := st.session.events, st.session.deadline, st.session.questions.renewAt
	st.session.events = events{}
	st.mu.Unlock()
	st.arm(deadline)
	st.arm(renew)
	st.report(happened)
	for i := range messages {
		m := &messages[i]
		began := time.Now()
		st.sending.Store(max(1, int64(began.Sub(st.since))))
		err := st.grpc.SendMsg(&m.response)
		st.sending.Store(0)
		if err != nil {
			return err
		}
		st.via.server.metrics.pushed(m.typ, m.size, time.Since(began))
	}
	if st.session.complete {
		st.joined()
	}
	return nil
}

// report tells what happened in the session to those who want to know.
func (st *stream) report(e events) {
	for _, d := range e.converged {
		st.via.server.metrics.converged(d)
	}
	if !e.took.IsZero() {
		st.view.Took(e.took)
	}
	if e.progress {
		st.via.server.progress()
	}
	if e.found > 0 {
		st.via.server.metrics.questions.WithLabelValues(askedHost).Add(float64(e.found))
	}
	if e.unknown > 0 {
		st.via.server.metrics.questions.WithLabelValues(askedNone).Add(float64(e.unknown))
	}
	for _, p := range e.overdue {
		st.via.server.metrics.overdue.WithLabelValues(p.String()).Inc()
		if st.via.server.once("overdue " + st.client.NodeID) {
			st.via.server.config.Log.Warn("proxy did not acknowledge a step in time; continuing without it", "proxy", st.client.NodeID, "step", p.String())
		}
	}
	for _, r := range e.refusals {
		st.reject(r)
	}
}

// reject reports a refusal unless it was reported before.
func (st *stream) reject(r refusal) {
	news := false
	rejection := Rejection{Client: *st.client, Type: r.typ, Message: r.message}
	st.judge(r)
	for _, res := range r.refused {
		news = st.via.server.once("nack "+r.typ.String()+" "+res.Name+" "+res.Version) || news
		rejection.Names = append(rejection.Names, res.Name)
		rejection.Owners = append(rejection.Owners, res.Owners...)
	}
	if len(r.refused) == 0 {
		news = st.via.server.once("nack " + r.typ.String() + " " + r.message)
	}
	if !news {
		return
	}
	st.via.server.config.Log.Warn("a proxy refused configuration", "proxy", st.client.NodeID, "type", r.typ.String(),
		"resources", rejection.Names, "objects", rejection.Owners, "err", r.message)
	if st.via.server.config.OnReject != nil {
		st.via.server.config.OnReject(rejection)
	}
}

// maxJudged bounds how many resources of one refusal are judged: each is looked
// for among all proxies of the namespace.
const maxJudged = 64

// judge tells the court what the proxy refuses, unless another one of its
// namespace has taken it.
func (st *stream) judge(r refusal) {
	if !r.counts || len(r.refused) == 0 {
		return
	}
	var peers []*stream
	for _, other := range st.via.server.open() {
		if other != st && other.sits(st.court) {
			peers = append(peers, other)
		}
	}
	for i, res := range r.refused[:min(len(r.refused), maxJudged)] {
		if !slices.ContainsFunc(peers, func(p *stream) bool { return p.accepted(res) }) {
			st.court.refuse(st.session.juror, res, r.before[i], r.message)
		}
	}
}

// sits says whether the court is that of the proxy.
func (st *stream) sits(c *court) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.session != nil && st.court == c
}

func (st *stream) accepted(r *snapshot.Resource) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.session != nil && st.session.accepted(r)
}

// ended is the status of a stream whose receiving side failed; a client that
// closes its side ends the stream well.
func ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
