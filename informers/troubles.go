package informers

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// troubles tells once of each kind that it cannot be read, and once that it can
// again. What comes and goes is told so often and no more.
type troubles struct {
	source *Kubernetes
	mu     sync.Mutex
	kinds  map[*kind]trouble
	budget budget
}

type trouble struct {
	text string
	told bool
}

// How much is told of kinds that come and go: so many remarks at once, which is
// each kind once, and then one in ten seconds.
const (
	troublesAtOnce = 30
	troublesEvery  = 10 * time.Second
)

func newTroubles(source *Kubernetes) *troubles {
	return &troubles{source: source, kinds: map[*kind]trouble{}, budget: budget{burst: troublesAtOnce, every: troublesEvery}}
}

func (t *troubles) note(ctx context.Context, of *kind, err error) {
	if ctx.Err() != nil {
		return
	}
	text, remedy := "", "it is tried again"
	switch {
	case err == nil:
	case apierrors.IsForbidden(err):
		text, remedy = "forbidden", "grant the control plane's ServiceAccount get, list and watch on it"
	case apierrors.IsUnauthorized(err):
		text, remedy = "unauthorized", "see whether the control plane's token has expired"
	case apierrors.IsTooManyRequests(err):
		text, remedy = "throttled", "it is tried again; see what overloads the API server, and its flow control"
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsTimeout(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return // part of the protocol; the reflector goes on from there
	default:
		text = "unreachable"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.kinds[of]
	if text == before.text {
		return
	}
	if text == "" {
		delete(t.kinds, of)
		if before.told {
			t.source.config.Log.Info("objects are read again", "kind", of.groupKind())
		}
		return
	}
	ok, untold := t.budget.take(time.Now())
	t.kinds[of] = trouble{text, ok || before.told}
	if ok {
		about := []any{"kind", of.groupKind(), "err", err, "remedy", remedy}
		if untold > 0 {
			about = append(about, "untold", untold)
		}
		t.source.config.Log.Warn("objects cannot be read from the API server", about...)
	}
}

// budget bounds how much is told of what comes and goes: so many remarks at
// once, and one more at each interval.
type budget struct {
	burst  int
	every  time.Duration
	left   int
	since  time.Time // from which on the next one is earned; zero: all are left
	untold int
}

// take tells whether a remark may be made, and how many were not since the last.
func (b *budget) take(now time.Time) (ok bool, untold int) {
	if b.since.IsZero() {
		b.left, b.since = b.burst, now
	}
	if earned := int(now.Sub(b.since) / b.every); earned > 0 {
		b.left = min(b.burst, b.left+earned)
		b.since = b.since.Add(time.Duration(earned) * b.every)
	}
	if b.left == 0 {
		b.untold++
		return false, 0
	}
	b.left--
	untold, b.untold = b.untold, 0
	return true, untold
}
