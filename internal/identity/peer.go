package identity

import (
	"fmt"
	"time"
)

// Peer is who a proxy has proven to be. The zero Peer is nobody.
type Peer struct {
	ID
	Pod    string // empty when the proof names no pod: a certificate
	PodUID string // empty as Pod
	// Expires is when the proof ends: a stream is not to live much longer.
	Expires time.Time
}

// Claim is what a proxy says of itself, in its node id and metadata. Empty
// fields claim nothing.
type Claim struct {
	Namespace, ServiceAccount, Pod string
}

// Check refuses a proxy that claims to be somebody other than its proof says:
// pod A's token with pod B's node id. The error is a *Refusal.
func (p Peer) Check(c Claim) error {
	for _, f := range []struct{ what, proven, claimed string }{
		{"namespace", p.Namespace, c.Namespace},
		{"service account", p.ServiceAccount, c.ServiceAccount},
		{"pod", p.Pod, c.Pod},
	} {
		if f.claimed == "" || f.claimed == f.proven || f.what == "pod" && p.Pod == "" {
			continue
		}
		return &Refusal{ReasonMismatch, fmt.Sprintf("the proxy says that it runs in %s %q, its credential is that of %s %q of namespace %q: correct its node id or metadata",
			f.what, f.claimed, f.what, f.proven, p.Namespace)}
	}
	return nil
}
