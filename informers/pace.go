package informers

import "time"

const (
	// listPause times as long as a list took is what one more costs, so that watches
	// that end at once do not have everything read without a pause.
	listPause    = 10
	maxListPause = 30 * time.Second
	// listsAtOnce is how many lists may follow one another without a pause: a link
	// that breaks twice in a moment is read from as soon as it is back.
	listsAtOnce = 3
)

// pace says when a list may begin. It is a bucket of listsAtOnce lists, of which
// one comes back in each pause.
type pace struct {
	took, before time.Duration // the last list, and the one before it
	used         float64       // lists that have not come back yet
	since        time.Time     // for which used is right
}

// pause is what a list costs by the quicker of the last two: the other may have
// waited for a link that hung.
func (p *pace) pause() time.Duration {
	took := p.took
	if p.before > 0 {
		took = min(took, p.before)
	}
	return min(maxListPause, listPause*took)
}

// wait is how long to wait before the next list. It takes nothing: who waits may be
// told to begin again.
func (p *pace) wait(now time.Time) time.Duration {
	return time.Duration(max(0, p.owed(now)+1-listsAtOnce) * float64(p.pause()))
}

// ended says that a list has been read, and how long it took.
func (p *pace) ended(now time.Time, took time.Duration) {
	p.used, p.since = p.owed(now)+1, now
	p.took, p.before = took, p.took
}

// owed are the lists that have not come back.
func (p *pace) owed(now time.Time) float64 {
	pause := p.pause()
	if pause <= 0 {
		return p.used
	}
	return max(0, p.used-float64(now.Sub(p.since))/float64(pause))
}
