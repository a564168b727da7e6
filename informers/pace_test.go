package informers

import (
	"testing"
	"time"
)

// TestPace: what lists wait for, when each is asked for as soon as the one before has
// been taken in, or when some time has passed.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name               string
		took, idle, waited []time.Duration // of each list; idle is before it
	}{
		{"quick ones, one after the other", []time.Duration{10 * ms, 10 * ms, 10 * ms, 10 * ms, 10 * ms}, []time.Duration{0, 0, 0, 0, 0}, []time.Duration{0, 0, 0, 80 * ms, 90 * ms}},
		{"one that a link held up is not what the next is paced by", []time.Duration{10 * ms, 6 * time.Second, 10 * ms}, []time.Duration{0, time.Minute, 0}, []time.Duration{0, 0, 0}},
		{"large ones wait, and not longer than the longest pause", []time.Duration{4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second}, []time.Duration{0, 0, 0, 0, 0}, []time.Duration{0, 0, 0, 22 * time.Second, 26 * time.Second}},
		{"they come back", []time.Duration{10 * ms, 10 * ms, 10 * ms, 10 * ms}, []time.Duration{0, 0, 0, time.Second}, []time.Duration{0, 0, 0, 0}},
	} {
		now, p := time.Unix(1e9, 0), pace{}
		for i, took := range c.took {
			now = now.Add(c.idle[i])
			p.wait(now) // who is told to begin again loses nothing
			wait := p.wait(now)
			if d := wait - c.waited[i]; d < -ms || d > ms {
				t.Errorf("%s: list %d waits %s, not %s", c.name, i, wait, c.waited[i])
			}
			now = now.Add(wait + took)
			p.ended(now, took)
		}
	}
}

// TestPaceOfMany: however often lists are asked for, a tenth of the time at most is
// spent on them in the long run.
func TestPaceOfMany(t *testing.T) {
	now, p := time.Unix(1e9, 0), pace{}
	began, took := now, 50*time.Millisecond
	for range 100 {
		now = now.Add(p.wait(now) + took)
		p.ended(now, took)
	}
	if least := 97 * listPause * took; now.Sub(began) < least {
		t.Errorf("100 lists of %s within %s, not %s", took, now.Sub(began), least)
	}
}
