package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
)

const (
	// handOverAfter is how old the view of some kind has to be before proxies are
	// given to other replicas, and handOverBack how long none of them has to know
	// more before proxies are taken in again.
	handOverAfter, handOverBack = time.Minute, 30 * time.Second
	// handOverEvery is how often other replicas are asked, and handOverSure how
	// often in turn one has to be better, or none as good, before anything is done.
	handOverEvery, handOverSure = 5 * time.Second, 2
	// handOverLeave is how long the Service gets to leave this replica out before
	// the first proxy is sent away, and handOverWithin over how long they leave.
	handOverLeave, handOverWithin = 10 * time.Second, 30 * time.Second
)

// handOver gives the proxies of a replica that has lost the API server to those
// that have not, or not of as many kinds. It asks them itself: who has lost the
// API server cannot be told anything by it. It ends when no other knows the
// cluster as well, since an old view is better than none, and it neither begins
// nor ends at a single answer, so that proxies do not swing.
type handOver struct {
	source *source
	peers  *peers
	server *discovery.Server
	log    *slog.Logger

	away atomic.Bool // this replica is no endpoint that is ready
}

func newHandOver(s *source, namespace string, world func() *mesh.World, server *discovery.Server, log *slog.Logger) *handOver {
	return &handOver{source: s, server: server, log: log, peers: newPeers(func() []string { return otherReplicas(world(), namespace, os.Getenv("POD_NAME")) })}
}

// ready says why no proxy should come here; nil when they may.
func (h *handOver) ready() error {
	if h.away.Load() {
		return errors.New("the view of the API server is old, and another replica has a newer one: proxies are sent there")
	}
	return nil
}

// run looks after that until the context ends.
func (h *handOver) run(ctx context.Context) error {
	if h.source.client == nil {
		return nil
	}
	look := time.NewTicker(handOverEvery)
	defer look.Stop()
	var s swing
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		views := h.source.views()
		if oldestOf(views) < handOverAfter && !s.away {
			s.others = 0
			continue // the others are asked only when it matters
		}
		seen := h.peers.compare(ctx, views)
		switch s.next(time.Now(), seen) {
		case leave:
			h.log.Warn("this replica hands its proxies to others that have read the API server more recently")
			h.away.Store(true)
		case sendAway:
			h.server.Away(handOverWithin)
		case stay:
			h.away.Store(false)
			h.server.Back()
			h.log.Info("this replica accepts proxies again", "fresh", oldestOf(views) < informers.StaleAfter, "othersAsFresh", seen.good)
		}
	}
}

// oldestOf is the age of the oldest view, but for objects that are followed by name:
// one that the API server refuses is no reason to go elsewhere.
func oldestOf(views []informers.View) (age time.Duration) {
	for _, v := range views {
		if !v.Named {
			age = max(age, time.Since(v.Confirmed))
		}
	}
	return age
}

// step is what a look leads to.
type step int

const (
	nothing  step = iota
	leave         // stop to be ready
	sendAway      // end streams
	stay          // be as before
)

// swing decides, look by look.
type swing struct {
	away   bool
	since  time.Time // away
	sent   bool
	others int       // looks in turn in which others were better, or when away as good; below zero: in which none was
	level  time.Time // since when no other knows more than this replica; zero: one does
}

func (s *swing) next(now time.Time, l look) step {
	if s.away && l.good || !s.away && l.better {
		s.others = max(s.others, 0) + 1
	} else {
		s.others = min(s.others, 0) - 1
	}
	if l.ahead {
		s.level = time.Time{}
	} else if l.good && s.level.IsZero() {
		s.level = now
	}
	switch {
	case !s.away && s.others >= handOverSure:
		s.away, s.since, s.sent = true, now, false
		return leave
	case !s.away:
		return nothing
	case s.others <= -handOverSure, !s.level.IsZero() && now.Sub(s.level) >= handOverBack:
		s.away = false
		return stay
	case !s.sent && now.Sub(s.since) >= handOverLeave:
		s.sent = true
		return sendAway
	}
	return nothing
}
