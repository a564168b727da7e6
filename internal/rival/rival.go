// Package rival paces writers that put back what others change. Two that write
// the same object would otherwise answer each other without end.
//
// The package must never write itself, and knows no kind of object.
package rival

import "time"

const (
	// Free is how often in turn something is put back at once.
	Free = 3
	// Longest is the longest pause before it is put back again.
	Longest = 5 * time.Minute
	// Forget is how long nobody has to undo it before it is put back at once again.
	Forget = 2 * Longest
)

// Pace is that of one object. The zero Pace is ready. It is not safe for use by
// several goroutines.
type Pace struct {
	wrote string // what was put there last
	at    time.Time
	times int // in turn that it was undone
}

// Wait says how long to wait before content may be written in place of what
// somebody else has written; 0: now. It is called whenever what is there is
// not the content.
func (p *Pace) Wait(content string, now time.Time) time.Duration {
	if p.wrote != content || now.Sub(p.at) > Forget {
		return 0
	}
	if p.times+1 <= Free {
		return 0
	}
	pause := min(time.Second<<min(p.times-Free, 20), Longest)
	return max(0, pause-now.Sub(p.at))
}

// Wrote notes that the content was written, and whether it is time to tell that
// somebody undoes it: once for each such time.
func (p *Pace) Wrote(content string, now time.Time) (tell bool) {
	switch {
	case p.wrote != content:
		p.times = min(p.times, 1) // ours has changed
	case now.Sub(p.at) > Forget:
		p.times = 1
	default:
		p.times++
		tell = p.times == Free
	}
	p.wrote, p.at = content, now
	return tell
}
