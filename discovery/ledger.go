package discovery

import (
	"sync"
)

// Bounds of what a pod, and all together, may take up.
const (
	// maxPodStreams is how many streams one pod may have; Envoy has one, and
	// two while it connects anew.
	maxPodStreams = 16
	// maxPodHeld and maxHeld bound the bytes of messages that have not arrived
	// whole, beyond what each connection may hold without asking.
	maxPodHeld = 24 << 20
	maxHeld    = 128 << 20
)

// ledger says what each pod takes up. It has an account for a pod while that
// has streams. Safe for concurrent use.
type ledger struct {
	mu         sync.Mutex
	accounts   map[podKey]*account
	namespaces map[string]int // streams
	held       int            // bytes, of all accounts
}

// podKey is who pays: a pod as far as it is proven, else as it says.
type podKey struct{ namespace, pod string }

// account is what one pod takes up; guarded by the ledger.
type account struct {
	key     podKey
	streams int
	held    int // bytes
}

func newLedger() *ledger {
	return &ledger{accounts: map[podKey]*account{}, namespaces: map[string]int{}}
}

// open takes a place for a stream of a pod; nil when that has too many.
func (l *ledger) open(key podKey) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[key]
	if a == nil {
		a = &account{key: key}
		l.accounts[key] = a
	}
	if a.streams >= maxPodStreams {
		return nil
	}
	a.streams++
	l.namespaces[key.namespace]++
	return a
}

// close takes back an open.
func (l *ledger) close(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.streams--; a.streams == 0 {
		delete(l.accounts, a.key)
	}
	if l.namespaces[a.key.namespace]--; l.namespaces[a.key.namespace] == 0 {
		delete(l.namespaces, a.key.namespace)
	}
}

// hold takes n bytes for an account, if they are to be had.
func (l *ledger) hold(a *account, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.held+n > maxPodHeld || l.held+n > maxHeld {
		return false
	}
	a.held += n
	l.held += n
	return true
}

// release gives back n bytes.
func (l *ledger) release(a *account, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.held -= n
	l.held -= n
}

// largest is the namespace with the most streams.
func (l *ledger) largest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, most := "", 0
	for ns, n := range l.namespaces {
		if n > most {
			name, most = ns, n
		}
	}
	return name
}

// crowded says whether a namespace has more streams than any other would have
// if the streams that there may be were shared out among those that have some.
func (l *ledger) crowded(namespace string, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.namespaces[namespace] > most/max(1, len(l.namespaces))
}
