package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	// handOverAfter is how old the view of some kind has to be before proxies are
	// given to other replicas, and handOverBack how long all have to be fresh
	// before they are taken in again.
	handOverAfter, handOverBack = time.Minute, 30 * time.Second
	// handOverEvery is how often other replicas are asked, and handOverSure how
	// often in turn one has to be fresh, or none, before anything is done.
	handOverEvery, handOverSure = 5 * time.Second, 2
	// handOverLeave is how long the Service gets to leave this replica out before
	// the first proxy is sent away, and handOverWithin over how long they leave.
	handOverLeave, handOverWithin = 10 * time.Second, 30 * time.Second
	// peerPatience is how long a replica may take to say how it is.
	peerPatience = 2 * time.Second
	// maxPeers is how many are asked at a time.
	maxPeers = 16
	// debugPort is the port of the control plane's Service for health.
	debugPort = 15014
)

// handOver gives the proxies of a replica that has lost the API server to those
// that have not. It asks them itself, by the addresses that it read while it
// could: who has lost the API server cannot be told anything by it. It ends when
// no other is fresh, since an old view is better than none, and it neither begins
// nor ends at a single answer, so that proxies do not swing.
type handOver struct {
	source *source
	peers  func() []string // HOST:PORT of the others' debug ports
	server *discovery.Server
	log    *slog.Logger
	client *http.Client

	away atomic.Bool // this replica is no endpoint that is ready
}

func newHandOver(s *source, namespace string, world func() *mesh.World, server *discovery.Server, log *slog.Logger) *handOver {
	return &handOver{
		source: s, server: server, log: log, peers: func() []string { return otherReplicas(world(), namespace, os.Getenv("POD_NAME")) },
		client: &http.Client{Timeout: peerPatience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}},
	}
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
		oldest := h.oldest()
		if oldest < handOverAfter && !s.away {
			s.others = 0
			continue // the others are asked only when it matters
		}
		switch s.next(time.Now(), oldest, h.othersFresh(ctx)) {
		case leave:
			h.log.Warn("this replica hands its proxies to others that have read the API server more recently")
			h.away.Store(true)
		case sendAway:
			h.server.Away(handOverWithin)
		case stay:
			h.away.Store(false)
			h.server.Back()
			h.log.Info("this replica accepts proxies again", "fresh", oldest < informers.StaleAfter, "othersFresh", s.others > 0)
		}
	}
}

// oldest is the age of the oldest view.
func (h *handOver) oldest() (age time.Duration) {
	for _, v := range h.source.views() {
		age = max(age, time.Since(v.Confirmed))
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
	others int       // looks in turn with a fresh replica, below zero without
	fresh  time.Time // since when our view is; zero: it is not
}

func (s *swing) next(now time.Time, age time.Duration, othersFresh bool) step {
	if othersFresh {
		s.others = max(s.others, 0) + 1
	} else {
		s.others = min(s.others, 0) - 1
	}
	if age >= informers.StaleAfter {
		s.fresh = time.Time{}
	} else if s.fresh.IsZero() {
		s.fresh = now
	}
	switch {
	case !s.away && age >= handOverAfter && s.others >= handOverSure:
		s.away, s.since, s.sent = true, now, false
		return leave
	case !s.away:
		return nothing
	case s.others <= -handOverSure, !s.fresh.IsZero() && now.Sub(s.fresh) >= handOverBack:
		s.away = false
		return stay
	case !s.sent && now.Sub(s.since) >= handOverLeave:
		s.sent = true
		return sendAway
	}
	return nothing
}

// othersFresh tells whether any other replica is ready and has a fresh view.
func (h *handOver) othersFresh(ctx context.Context) bool {
	peers := h.peers()
	var asks sync.WaitGroup
	var fresh atomic.Bool
	for _, p := range peers[:min(len(peers), maxPeers)] {
		asks.Go(func() {
			if h.isFresh(ctx, p) {
				fresh.Store(true)
			}
		})
	}
	asks.Wait()
	return fresh.Load()
}

func (h *handOver) isFresh(ctx context.Context, peer string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+peer+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	return err == nil && answer.StatusCode == http.StatusOK && strings.TrimSpace(string(text)) == "ok"
}

// otherReplicas are the debug ports of the control plane's Service but for those
// of the Pod.
func otherReplicas(w *mesh.World, namespace, self string) (out []string) {
	if w == nil {
		return nil
	}
	host := w.Host(object.ResolveHost("fairway", namespace, object.Domain))
	if host == nil {
		return nil
	}
	for i, s := range host.Services {
		for j, p := range s.Ports {
			if p.Number != debugPort {
				continue
			}
			for _, e := range host.Endpoints[i].Endpoints {
				if j < len(e.Ports) && e.Ports[j] != 0 && (e.Workload == nil || e.Workload.Ref.Name != self) {
					out = append(out, net.JoinHostPort(e.Address, strconv.FormatUint(uint64(e.Ports[j]), 10)))
				}
			}
		}
	}
	return out
}
