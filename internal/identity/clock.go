package identity

import "time"

// clock tells the time for steps that nobody can take back, such as to trust a root no
// longer. The system's clock may jump: it is set, or the machine stood still, which the
// other clock, that counts from the start on, does not notice.
type clock struct {
	shown time.Time // by the system's clock, at the start
	began time.Time // at the same moment, with the reading of the clock that never jumps
}

func startClock() clock {
	now := time.Now()
	return clock{shown: now.Round(0), began: now}
}

// now is the earlier of what the system's clock shows, and what it showed at the start plus
// the time since: who waits for a moment waits until both agree that it has come.
func (c clock) now() time.Time {
	now := time.Now()
	if counted := c.shown.Add(now.Sub(c.began)); counted.Before(now.Round(0)) {
		return counted
	}
	return now
}

// misdated says whether a certificate does not fit the time that the system's clock shows.
// If the clock was set forward, or the machine stood still, half of its life is over sooner
// than was counted; if it was set back, the certificate begins in the future.
func (c *Certificate) misdated(now time.Time) bool {
	now = now.Round(0)
	return !now.Before(c.RotateAt.Round(0)) || now.Before(c.NotBefore)
}
