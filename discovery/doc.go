// Package discovery is the ADS server: who is connected, what they hold, what
// they get next. It speaks the incremental and the state-of-the-world variant
// of xDS over the same revisions.
//
// It must never compute a resource, never know Kubernetes or Istio, and never
// keep anything per stream that grows with the mesh: a stream is a few pointers
// to revisions.
//
// # A stream
//
// A stream does the I/O and owns one session, which is a value: requests, newer
// stacks and the time go in (session.request, session.publish, session.step), and
// messages come out. So everything that follows is tested without a network.
//
// # A change
//
// A session leads its proxy from one stack to the next. On the way it is in one of
// six phases. This is the table phases in phase.go:
//
//	           newer stack           clusters are warm         routes are accepted
//	┌─ idle ─────────────▶ clusters ─────────────▶ routes ────────────────────┐
//	└◀────────────────────────────────────────────────────────────────────────┘
//
//	a proxy comes back:
//	incremental ───────────────────▶ resuming ──▶ hearing ──▶ idle
//	state of the world ▶ recalling ──▶ resuming
//
// What each is for:
//
//   - idle: listeners and routes are where the clusters are. What the proxy asks for
//     anew is answered; a newer stack begins a change.
//   - clusters: new and changed clusters are sent, with their endpoints and secrets.
//     Listeners and routes stay at what was reached. It ends when the clusters are
//     acknowledged and their endpoints and secrets are too: a cluster that was only
//     acknowledged is not warm.
//   - routes: listeners and routes follow. When they are accepted, the clusters that
//     nothing refers to any more are removed, and the change is over.
//   - recalling: a state-of-the-world client came back. It does not say which clusters it
//     holds, but soon asks for their endpoints, which says the same. Until then no
//     cluster is answered, since an answer removes what it does not list.
//   - resuming: as clusters, for a proxy that came back. What it said that it holds is
//     compared with the stack, and only the difference is sent. Nothing was reached on
//     this stream, so listeners and routes are not answered yet.
//   - hearing: as routes, until the proxy has also said which listeners and routes it
//     holds: routes of its past may lead to clusters that are about to be removed.
//
// A proxy that connects for the first time starts in idle and gets what it asks for in
// the order in which it asks; Envoy's own order is safe while it serves nothing.
// Endpoints, secrets and runtime values never wait for a phase. Stacks that are published
// during a change are taken together by the next one; one that needs no other clusters
// joins the change under way when its routes begin.
//
// # What a proxy is promised
//
//   - A route or listener that is sent refers to clusters that the proxy has warm, and a
//     cluster is removed after everything that referred to it.
//   - It is sent only what differs from what it accepted, and nothing is removed that the
//     stack has, however often the control plane restarts.
//   - Of each type one response is on its way. The next is sent when the proxy has
//     answered, and takes together what changed meanwhile, so that a slow proxy gets
//     fewer and larger responses and never a queue.
//   - What it refuses is not sent again until it changes; the rest of a refused response
//     is tried in parts. What it had stays, with the clusters that it needs.
//
// # What is assumed of a proxy, and what happens when it is not so
//
//   - It answers each response. When a phase has waited for Config.PhaseTimeout, the
//     session goes on without the answer, counts it (fairway_xds_overdue_total) and
//     says so once in the log; on a link that loses packets it first waits up to a minute
//     (see link.go).
//   - It reads what it is sent, and its connection lives. Otherwise the connection is
//     closed (see lost.go), and the proxy comes back with what it holds.
//   - It names what it holds truly. A proxy that lies harms itself: names that it makes up
//     are bounded (maxNames) and kept for its stream alone.
//   - It refuses what it cannot use, and nothing else. Its word withholds a version from
//     others only inside its namespace, and only together with another workload's
//     (see verdict.go).
package discovery
