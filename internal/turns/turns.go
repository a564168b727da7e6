// Package turns shares out places fairly: by turns, so that the many of one do not
// keep others waiting.
package turns

import (
	"context"
	"errors"
	"sync"
)

// Queue gives out a number of places. Those who wait get them in turns: one of
// each key, then the next of each. Safe for concurrent use.
type Queue[K comparable] struct {
	mu      sync.Mutex
	free    int
	most    int // who may wait of one key
	waiting map[K][]chan struct{}
	turns   []K // whose turn comes when; each with somebody who waits is there
}

// New returns a queue for a number of places, in which up to most of one key may
// wait.
func New[K comparable](places, most int) *Queue[K] {
	return &Queue[K]{free: places, most: most, waiting: map[K][]chan struct{}{}}
}

// ErrFull is the error for one who is too many of its key.
var ErrFull = errors.New("too many wait already")

// Free is how many places are free.
func (q *Queue[K]) Free() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free
}

// Waiting is how many of a key wait.
func (q *Queue[K]) Waiting(who K) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting[who])
}

// Enter waits for a place. The error is that of ctx, what comes by failed, which
// may be nil, or ErrFull.
func (q *Queue[K]) Enter(ctx context.Context, who K, failed <-chan error) error {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	if len(q.waiting[who]) >= q.most {
		q.mu.Unlock()
		return ErrFull
	}
	turn := make(chan struct{})
	if len(q.waiting[who]) == 0 {
		q.turns = append(q.turns, who)
	}
	q.waiting[who] = append(q.waiting[who], turn)
	q.mu.Unlock()
	var err error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-failed:
	}
	q.abandon(who, turn)
	return err
}

// abandon takes back a wait, or the place if it came at the same time.
func (q *Queue[K]) abandon(who K, turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.waiting[who]
	for i, t := range list {
		if t == turn {
			q.waiting[who] = append(list[:i:i], list[i+1:]...)
			return
		}
	}
	q.next()
}

// Leave gives a place back.
func (q *Queue[K]) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

// next gives a free place to whose turn it is.
func (q *Queue[K]) next() {
	for len(q.turns) > 0 {
		who := q.turns[0]
		q.turns = q.turns[1:]
		list := q.waiting[who]
		if len(list) == 0 {
			delete(q.waiting, who)
			continue
		}
		close(list[0])
		if len(list) == 1 {
			delete(q.waiting, who)
		} else {
			q.waiting[who] = list[1:]
			q.turns = append(q.turns, who)
		}
		return
	}
	q.free++
}
