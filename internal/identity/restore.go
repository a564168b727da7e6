package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// ErrDamaged is what Storage.Load returns, with a version for Save, when what
// is stored is not what was written there.
var ErrDamaged = errors.New("damaged")

const (
	// restorePatience is how many looks a replica that does not lead leaves a
	// fault to the leader.
	restorePatience = 3
	// restorePause is how many times Options.Poll lies at most between two
	// restorations, when somebody undoes them; it doubles up to that.
	restorePause = 16
	// restoreForget is how many times Options.Poll have to pass without a fault
	// before the next one is mended at once again.
	restoreForget = 64
)

// care is how a replica deals with a Storage whose content it must not take
// over. It is guarded by Authority.caring.
type care struct {
	looks    int            // in turn with a fault
	last     time.Time      // when there was one
	next     time.Time      // no restoration before
	pause    time.Duration  // after the next restoration
	restored map[string]int // by fault; guarded by Authority.mu
	seen     seen
}

// seen is what was read last and well, and what it says: most looks find that
// nothing has changed.
type seen struct {
	data    map[string][]byte
	keyring *keyring
}

func (s *seen) decode(data map[string][]byte) (*keyring, error) {
	if s.keyring != nil && maps.EqualFunc(s.data, data, bytes.Equal) {
		return s.keyring, nil
	}
	k, err := decodeKeyring(data)
	if err == nil {
		*s = seen{data, k}
	}
	return k, err
}

// Restored counts, by the fault, how often this replica has put its roots back
// into Storage.
func (a *Authority) Restored() map[string]int {
	a.mu.Lock() // not caring, which is held while Storage is read: metrics must not wait for that
	defer a.mu.Unlock()
	return maps.Clone(a.care.restored)
}

// Mended is when the mesh's roots were last put back, by whatever replica.
func (a *Authority) Mended() Mended {
	if k := a.heldKeyring(); k != nil {
		return k.mended
	}
	return Mended{}
}

// read reads the keyring. An error says that nothing is known about it.
func (a *Authority) read(ctx context.Context) (stored, error) {
	data, version, err := a.options.Storage.Load(ctx)
	s := stored{version: version}
	switch {
	case errors.Is(err, ErrDamaged):
		s.damaged = err
	case err != nil:
		return stored{}, err
	case data != nil:
		if s.keyring, s.damaged = a.care.seen.decode(data); s.damaged != nil {
			s.keyring = nil
		} else if s.keyring.empty() {
			s.keyring, s.emptied = nil, true
		}
	}
	return s, nil
}

// heldKeyring is the one that was taken over last; nil before the first.
func (a *Authority) heldKeyring() *keyring {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

func (a *Authority) hold(k *keyring) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = k
}

// settle is the keyring that counts, with its version: what is stored, or, where
// that must not be taken over, what this replica holds, with the reason. It puts
// the latter back when it is time to. Nil when nothing is stored and nothing held.
func (a *Authority) settle(ctx context.Context) (*keyring, string, error) {
	a.caring.Lock()
	defer a.caring.Unlock()
	for range 5 {
		held := a.heldKeyring()
		s, err := a.read(ctx)
		if err != nil {
			return nil, "", err
		}
		if held == nil {
			if s.damaged != nil {
				return nil, "", fmt.Errorf("%s: %w", a.options.Storage, s.damaged)
			}
			return s.keyring, s.version, nil
		}
		now := time.Now()
		f := s.fault(held, a.options.Storage, now)
		if f == nil {
			a.care.looks = 0
			if s.keyring != nil {
				held = s.keyring
				a.hold(held)
			}
			return held, s.version, nil
		}
		if !a.mayRestore(f, now) {
			return held, s.version, fmt.Errorf("%w: this replica goes on with the roots that it holds, and %s", f, a.remedy(f))
		}
		if err := a.restore(ctx, held, s, f); err != nil && !errors.Is(err, ErrConflict) {
			return held, s.version, fmt.Errorf("%w: this replica goes on with the roots that it holds; putting them back failed: %w", f, err)
		}
	}
	return a.heldKeyring(), "", fmt.Errorf("%s: %w", a.options.Storage, ErrConflict)
}

// restore writes what is held in place of what is stored.
func (a *Authority) restore(ctx context.Context, held *keyring, s stored, f *fault) error {
	n := held.restored(s, f, time.Now())
	if err := a.options.Storage.Save(ctx, n.encode(), s.version); err != nil {
		return err
	}
	a.hold(n)
	a.care.looks = 0
	a.care.next = time.Now().Add(a.care.pause)
	a.care.pause = min(max(2*a.care.pause, a.options.Poll), restorePause*a.options.Poll)
	a.mu.Lock()
	a.care.restored[f.kind]++
	times := a.care.restored[f.kind]
	a.mu.Unlock()
	a.options.Log.Error("the certificate authority put the roots of the mesh back", "where", a.options.Storage.String(), "why", f.text, "fault", f.kind,
		"signing", n.signing(), "times", times)
	return nil
}

// mayRestore says whether it is this replica's turn. The leader mends at once;
// others leave it to the leader for a while, and leave a stranger's roots to it
// altogether, so that no two replicas with different roots write in turn.
func (a *Authority) mayRestore(f *fault, now time.Time) bool {
	if now.Sub(a.care.last) > restoreForget*a.options.Poll {
		a.care.pause, a.care.next = 0, time.Time{}
	}
	a.care.last = now
	a.care.looks++
	if now.Before(a.care.next) {
		return false
	}
	return a.leading.Load() || f.kind != faultForeign && a.care.looks > restorePatience
}

func (a *Authority) remedy(f *fault) string {
	if a.leading.Load() {
		return "puts them back, more rarely the more often that is undone: find who writes there"
	}
	if f.kind == faultForeign {
		return "the leader puts its own back; should that be the stranger's, restart this replica"
	}
	return "the leader puts them back"
}

// signing names the self-signed root that signs, for people.
func (k *keyring) signing() string {
	if k.own == nil {
		return "what is plugged in"
	}
	return fingerprint(k.own.cert)[:16]
}
