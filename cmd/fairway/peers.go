package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	// peerPatience is how long a replica may take to say how it is.
	peerPatience = 2 * time.Second
	// maxPeers is how many are asked at a time.
	maxPeers = 16
	// serviceAsks is how often in one look the address of the Service is asked, which
	// leads to any of the replicas.
	serviceAsks = 4
	// debugPort is the port of the control plane's Service for health.
	debugPort = 15014
)

// peers asks the other replicas how well they know the cluster.
type peers struct {
	addresses func() []string // HOST:PORT of debug ports; some may be our own
	client    *http.Client
}

func newPeers(addresses func() []string) *peers {
	return &peers{addresses: addresses, client: &http.Client{Timeout: peerPatience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}}
}

// look is how the others know the cluster, compared with this replica. Only those
// count that accept proxies and of which no view is stale that is fresh here: a kind
// that the API server refuses to all of them is no difference.
type look struct {
	good   bool // there is such a replica
	ahead  bool // one has a fresh view of a kind of which ours is stale
	better bool // the same, and ours is so old that proxies should go there
}

// compare asks all of them.
func (p *peers) compare(ctx context.Context, ours []informers.View) (out look) {
	addresses := p.addresses()
	var asks sync.WaitGroup
	var mu sync.Mutex
	for _, a := range addresses[:min(len(addresses), maxPeers)] {
		asks.Go(func() {
			stale, ok := p.ask(ctx, a)
			if !ok {
				return
			}
			l := compared(ours, stale, time.Now())
			mu.Lock()
			defer mu.Unlock()
			out = look{good: out.good || l.good, ahead: out.ahead || l.ahead, better: out.better || l.better}
		})
	}
	asks.Wait()
	return out
}

// compared compares our views with those of another, of which some are stale.
func compared(ours []informers.View, stale map[string]bool, now time.Time) look {
	out := look{good: true}
	for _, v := range ours {
		age := now.Sub(v.Confirmed)
		switch {
		case stale[v.Kind] && age < informers.StaleAfter:
			return look{}
		case !stale[v.Kind]:
			out.ahead = out.ahead || age >= informers.StaleAfter
			out.better = out.better || age >= handOverAfter
		}
	}
	return out
}

// ask asks one which of its views are stale; false when it accepts no proxies, or
// does not say.
func (p *peers) ask(ctx context.Context, address string) (stale map[string]bool, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return nil, false
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return nil, false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, false
	}
	kinds := answer.Header.Get(debug.StaleHeader)
	if kinds == "" { // a former version does not name them
		return nil, strings.TrimSpace(string(text)) == "ok"
	}
	stale = map[string]bool{}
	for k := range strings.SplitSeq(kinds, ",") {
		stale[strings.TrimSpace(k)] = true
	}
	return stale, true
}

// otherReplicas are the debug ports of the control plane's Service: of its Pods but
// for our own, and that of the Service itself, which leads to replicas that this one
// has not read of, as those that came after it had lost the API server. By that our
// own may answer as well, which says nothing that we do not know.
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
			if len(s.Addresses) > 0 {
				for range serviceAsks {
					out = append(out, net.JoinHostPort(s.Addresses[0].Addr().String(), strconv.Itoa(debugPort)))
				}
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
