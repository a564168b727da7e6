package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// SyncState is how far a proxy is with one type.
type SyncState string

// The states, in the words of `istioctl proxy-status`.
const (
	Synced  SyncState = "SYNCED"   // it accepted the newest
	Stale   SyncState = "STALE"    // something newer is on its way, or was refused
	NotSent SyncState = "NOT SENT" // it did not ask, or there was nothing to send
)

// TypeState is what one proxy has of one type.
type TypeState struct {
	Type     snapshot.Type
	State    SyncState
	Sent     string            // version of the last state sent; empty when there is none
	Acked    string            // version of the last state accepted
	Rejected map[string]string // resources that the proxy refused and that still stand: name to version
	LastNack string            // the proxy's words; empty when it never refused
	NackedAt time.Time
}

// ProxyState is one connected proxy, for operators.
type ProxyState struct {
	Client         snapshot.Client
	ConnectedSince time.Time
	TooOld         bool   // an Envoy that lacks what is generated
	Phase          string // "idle", or the step of a change under way
	Types          []TypeState
}

// Clients are the connected proxies, in no order.
func (s *Server) Clients() []snapshot.Client {
	streams := s.open()
	clients := make([]snapshot.Client, 0, len(streams))
	for _, st := range streams {
		st.mu.Lock()
		if st.session != nil {
			clients = append(clients, *st.client)
		}
		st.mu.Unlock()
	}
	return clients
}

// Proxies lists the connected proxies by node id.
func (s *Server) Proxies() []ProxyState {
	streams := s.open()
	states := make([]ProxyState, 0, len(streams))
	for _, st := range streams {
		if state, ok := st.state(); ok {
			states = append(states, state)
		}
	}
	slices.SortFunc(states, func(a, b ProxyState) int {
		return cmp.Or(cmp.Compare(a.Client.NodeID, b.Client.NodeID), a.ConnectedSince.Compare(b.ConnectedSince))
	})
	return states
}

// state is false for a stream whose client is not known yet.
func (st *stream) state() (ProxyState, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.session == nil {
		return ProxyState{}, false
	}
	p := ProxyState{Client: *st.client, ConnectedSince: st.since, TooOld: tooOld(*st.client), Phase: st.session.phase.String()}
	for t := range snapshot.NumTypes {
		p.Types = append(p.Types, st.session.state(t))
	}
	return p, true
}

func (s *session) state(t snapshot.Type) TypeState {
	st := &s.types[t]
	state := TypeState{Type: t, State: NotSent}
	if st.lastNack != nil {
		state.LastNack, state.NackedAt = st.lastNack.message, st.lastNack.at
	}
	if st.sent != (snapshot.Stack{}) {
		state.Sent = s.form.version(st.sent, t)
	}
	if st.acked != (snapshot.Stack{}) {
		state.Acked = s.form.version(st.acked, t)
	}
	for name, r := range st.rejected {
		if state.Rejected == nil {
			state.Rejected = map[string]string{}
		}
		state.Rejected[name] = r.version
	}
	switch {
	case !st.subscribed || state.Sent == "":
	case st.quiet() && len(st.rejected) == 0 && st.sent.SameType(s.latest, t):
		state.State = Synced
	default:
		state.State = Stale
	}
	return state
}
