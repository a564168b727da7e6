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

// wait takes a list, and returns how long to wait before it begins.
func (p *pace) wait(now time.Time) time.Duration {
	pause := p.pause()
	if pause > 0 {
		p.used = max(0, p.used-float64(now.Sub(p.since))/float64(pause))
	}
	over := max(0, p.used+1-listsAtOnce)
	p.used, p.since = p.used+1, now
	return time.Duration(over * float64(pause))
}

// ended says how long a list took.
func (p *pace) ended(took time.Duration) { p.took, p.before = took, p.took }
