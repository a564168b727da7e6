package identity

import "time"

// Peer is who a proxy has proven to be; snapshot holds what the proxy says of
// itself to it. The zero Peer is nobody.
type Peer struct {
	ID
	Pod    string // empty when the proof names no pod: a certificate
	PodUID string // empty as Pod
	// Expires is when the proof ends: a stream is not to live much longer.
	Expires time.Time
}
