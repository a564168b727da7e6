package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Run follows Storage and PluggedIn until ctx ends, and returns nil then.
// Trouble is logged once, kept in Problem, and changes nothing.
func (a *Authority) Run(ctx context.Context) error {
	return a.every(ctx, func() {
		broken, err := a.reload(ctx)
		a.note(ctx, &a.broken, broken)
		a.note(ctx, &a.problem, err)
	})
}

// Maintain writes: it makes new roots before old ones end, lets them sign when
// they have been trusted long enough, records the roots that are plugged in and
// forgets those that nothing relies on any more. What was deleted, damaged or
// replaced in Storage it puts back. One replica runs it, the
// leader; should two, a conflict makes one of them start over. It returns nil
// when ctx ends.
func (a *Authority) Maintain(ctx context.Context) error {
	a.leading.Store(true)
	defer a.leading.Store(false)
	return a.every(ctx, func() {
		err := a.advance(ctx, false)
		if errors.As(err, new(*fault)) {
			err = nil // Run tells it
		}
		if err != nil {
			err = fmt.Errorf("keeping roots up to date in %s: %w", a.options.Storage, err)
		}
		a.note(ctx, &a.unkept, err)
	})
}

// RotateRoot begins the succession of the self-signed root now: a new root is
// trusted as soon as Run has seen it and signs after Options.Overlap, which
// Maintain sees to. While a succession is under way nothing is done.
// Where an authority is plugged in, its owner rotates it; where it is gone, this
// begins the succession by a self-signed root.
//
// It may be called without Start, in a process that is no control plane.
func (a *Authority) RotateRoot(ctx context.Context) error {
	if err := a.lookFirst(ctx); err != nil {
		return fmt.Errorf("rotating the root: %w", err)
	}
	if p, gone := a.lastPluggedIn(); p != nil && !gone {
		return fmt.Errorf("rotating the root: %s signs: replace it there", a.options.PluggedInName)
	}
	if err := a.advance(ctx, true); err != nil {
		return fmt.Errorf("rotating the root in %s: %w", a.options.Storage, err)
	}
	return nil
}

// lookFirst is what RotateRoot has to know of an authority that was not started:
// that there is something to be rotated.
func (a *Authority) lookFirst(ctx context.Context) error {
	if a.trust.Load() != nil {
		return nil
	}
	if err := a.readPluggedIn(ctx); err != nil {
		return err
	}
	p, _ := a.lastPluggedIn()
	k, _, err := a.settle(ctx)
	if err != nil {
		return err
	}
	return a.believed(ctx, k, p)
}

func (a *Authority) every(ctx context.Context, do func()) error {
	tick := time.NewTicker(a.options.Poll)
	defer tick.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// note keeps the problem where it belongs and logs it when it is a new one.
func (a *Authority) note(ctx context.Context, where *error, err error) {
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	old := *where
	*where = err
	a.mu.Unlock()
	switch {
	case err != nil && (old == nil || old.Error() != err.Error()):
		a.options.Log.Error("the certificate authority goes on with its last good state", "err", err)
	case err == nil && old != nil:
		a.options.Log.Info("the certificate authority is well again")
	}
}

// reload reads both sources and takes over what may be used. The keyring counts
// even when what is plugged in is broken.
func (a *Authority) reload(ctx context.Context) (broken, err error) {
	broken = a.readPluggedIn(ctx)
	k, _, err := a.settle(ctx)
	if k == nil && err != nil {
		return broken, err
	}
	p := a.pluggedBeside(k)
	if p == nil && errors.Is(broken, errUnplugged) {
		broken = nil
	}
	if broken != nil && p == nil && a.trust.Load() == nil {
		return broken, nil
	}
	if a.trust.Load() == nil {
		if err := a.believed(ctx, k, p); err != nil {
			return broken, err
		}
	}
	if k == nil {
		if k, err = a.firstKeyring(ctx, p); err != nil {
			return broken, err
		}
	}
	t, wrong := a.choose(k, p, a.clock.now())
	if wrong == nil {
		a.hold(k)
		a.replace(t)
	}
	return broken, errors.Join(err, wrong)
}

// errUnplugged is what the authority says while its source has nothing more.
var errUnplugged = errors.New("it is gone, and the last one goes on signing: put it back, or begin the succession by a self-signed root with `fairway ca rotate`")

// readPluggedIn keeps the last good authority when it is now broken or gone, or
// cannot be read.
func (a *Authority) readPluggedIn(ctx context.Context) error {
	if a.options.PluggedIn == nil {
		return nil
	}
	data, err := a.options.PluggedIn(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", a.options.PluggedInName, err)
	}
	var p *pluggedIn
	if data != nil {
		if p, err = a.parsePluggedIn(data, time.Now()); err != nil {
			return fmt.Errorf("%s: %w", a.options.PluggedInName, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unplugged = p == nil; a.unplugged && a.plugged != nil {
		return fmt.Errorf("%s: %w", a.options.PluggedInName, errUnplugged)
	}
	a.plugged = p
	return nil
}

// lastPluggedIn is the last good authority that was plugged in, and whether
// there is none any more.
func (a *Authority) lastPluggedIn() (p *pluggedIn, gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.plugged, a.unplugged
}

// pluggedBeside is the last good authority that was plugged in. One that is gone
// is forgotten when a self-signed root signs, or is to.
func (a *Authority) pluggedBeside(k *keyring) *pluggedIn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unplugged && k != nil && (k.own != nil || k.next != nil) {
		a.plugged = nil
	}
	return a.plugged
}

// firstKeyring creates the keyring, or reads that of whoever was faster. With
// an authority plugged in nothing has to be stored by others than the leader.
func (a *Authority) firstKeyring(ctx context.Context, p *pluggedIn) (*keyring, error) {
	if p != nil {
		return &keyring{}, nil
	}
	if err := a.advance(ctx, false); err != nil {
		return nil, err
	}
	k, _, err := a.settle(ctx)
	if err == nil && k == nil {
		err = fmt.Errorf("%s: what was just stored there is gone", a.options.Storage)
	}
	return k, err
}

// advance writes the keyring's next state if there is one.
func (a *Authority) advance(ctx context.Context, force bool) error {
	for range 5 {
		k, version, err := a.settle(ctx)
		if err != nil {
			return err
		}
		if k == nil {
			k = &keyring{}
		}
		p := a.pluggedBeside(k)
		if _, gone := a.lastPluggedIn(); gone && force {
			p = nil
		}
		now := a.clock.now()
		adopted := a.adoptedBeside(k, now)
		if len(adopted) > 0 {
			more := *k
			more.trusted = slices.Concat(k.trusted, adopted)
			k = &more
		}
		n, changed, err := k.advance(p, now, a.options.terms(), force)
		if err != nil || !changed && len(adopted) == 0 {
			return err
		}
		if err = a.options.Storage.Save(ctx, n.encode(), version); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", a.options.Storage, ErrConflict)
}
