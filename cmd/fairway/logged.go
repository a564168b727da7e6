package main

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// A namespace's findings are logged at most so often: who writes its objects chooses how
// many findings they have and how often these change.
const (
	loggedAtOnce = 100
	loggedEvery  = time.Second
)

// findingLog logs findings, of each namespace no more than its share.
type findingLog struct {
	log    *slog.Logger
	shares map[string]*rate.Limiter // of namespaces that have used some of theirs
}

func newFindingLog(log *slog.Logger) *findingLog {
	return &findingLog{log: log, shares: map[string]*rate.Limiter{}}
}

// write logs findings at the given time. One line per namespace says how many of it were
// not logged, unless the share has no room for that either.
func (l *findingLog) write(now time.Time, findings []object.Finding) {
	unlogged := map[string]int{}
	for _, f := range findings {
		ns := f.Object.Namespace
		if l.shares[ns] == nil {
			l.shares[ns] = rate.NewLimiter(rate.Every(loggedEvery), loggedAtOnce)
		}
		if l.shares[ns].TokensAt(now) < 2 { // the last one is for the line about the rest
			unlogged[ns]++
			continue
		}
		l.shares[ns].AllowN(now, 1)
		about := []any{"object", f.Object, "field", f.Field, "code", f.Code}
		if f.Winner != (object.Ref{}) {
			about = append(about, "winner", f.Winner)
		}
		l.log.Warn(f.Message, about...)
	}
	for _, ns := range slices.Sorted(maps.Keys(unlogged)) {
		if l.shares[ns].AllowN(now, 1) {
			l.log.Warn("too many findings in the namespace; the rest are not logged, and /debug/findings has all", "namespace", ns, "findings", unlogged[ns])
		}
	}
	maps.DeleteFunc(l.shares, func(_ string, s *rate.Limiter) bool { return s.TokensAt(now) >= loggedAtOnce })
}
