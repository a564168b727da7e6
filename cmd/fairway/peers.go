package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

const (
	// peerPatience is how long a replica may take to say how it is.
	peerPatience = 2 * time.Second
	// maxPeers is how many are asked at a time.
	maxPeers = 16
	// serviceAsks is how often in one look the address of the Service is asked, which
	// leads to any of the replicas.
	serviceAsks = 4
	// maxPeerHeader and maxPeerBody are how many bytes of an answer are read.
	maxPeerHeader, maxPeerBody = 16 << 10, 1 << 10
	// debugPort is the port of the control plane's Service for health.
	debugPort = 15014
)

// peers asks the other replicas how well they know the cluster.
type peers struct {
	addresses func() []string // HOST:PORT of debug ports; some may be our own
	client    *http.Client
}

func newPeers(addresses func() []string) *peers {
	return &peers{addresses: addresses, client: &http.Client{
		Timeout:       peerPatience,
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil, MaxResponseHeaderBytes: maxPeerHeader},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a replica leads nowhere else
	}}
}

// look is how the others know the cluster, compared with this replica. Only those
// count that accept proxies and of which no view is stale that is fresh here: a kind
// that the API server refuses to all of them is no difference, nor is one that only one
// of two follows.
type look struct {
	good   bool // there is such a replica
	ahead  bool // one has a fresh view of a kind of which ours is stale
	better bool // the same, and ours is so old that proxies should go there
}

// compare asks all of them.
func (p *peers) compare(ctx context.Context, ours []informers.View) (out look) {
	addresses := p.addresses()
	// Of more than are asked at a time, others the next time.
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	var asks sync.WaitGroup
	var mu sync.Mutex
	for _, a := range addresses[:min(len(addresses), maxPeers)] {
		asks.Go(func() {
			theirs, ok := p.ask(ctx, a)
			if !ok {
				return
			}
			l := compared(ours, theirs, time.Now())
			mu.Lock()
			defer mu.Unlock()
			out = look{good: out.good || l.good, ahead: out.ahead || l.ahead, better: out.better || l.better}
		})
	}
	asks.Wait()
	return out
}

// compared compares our views with those of another, of which it is known by kind whether
// they are fresh. Objects that are followed by name say nothing: which ones those are may
// differ, and one that the API server refuses is no reason to go elsewhere.
func compared(ours []informers.View, theirs map[string]bool, now time.Time) (out look) {
	for _, v := range ours {
		fresh, both := theirs[v.Kind]
		if v.Named || !both {
			continue
		}
		age := now.Sub(v.Confirmed)
		out.good = true
		switch {
		case !fresh && age < informers.StaleAfter:
			return look{}
		case fresh:
			out.ahead = out.ahead || age >= informers.StaleAfter
			out.better = out.better || age >= handOverAfter
		}
	}
	return out
}

// ask asks one how its views are: whether those of a kind are fresh. It is false when
// that one accepts no proxies, or does not say.
func (p *peers) ask(ctx context.Context, address string) (views map[string]bool, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return nil, false
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return nil, false
	}
	defer answer.Body.Close()
	first, err := io.ReadAll(io.LimitReader(answer.Body, maxPeerBody))
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(string(first), "ok\n") {
		return nil, false
	}
	views = map[string]bool{}
	for header, fresh := range map[string]bool{debug.FreshHeader: true, debug.StaleHeader: false} {
		for k := range strings.SplitSeq(answer.Header.Get(header), ",") {
			if k = strings.TrimSpace(k); k != "" {
				views[k] = fresh
			}
		}
	}
	return views, true
}

// otherReplicas are the debug ports of the control plane's own Service: of its Pods but
// for our own, and that of the Service itself, which leads to replicas that this one
// has not read of, as those that came after it had lost the API server. By that our
// own may answer as well, which says nothing that we do not know. Whoever else declares
// the host, or brings addresses into the Service that are those of no Pod in the control
// plane's namespace, is not asked: who is asked can have proxies sent away.
func otherReplicas(w *mesh.World, namespace, self string) (out []string) {
	if w == nil {
		return nil
	}
	own := object.Ref{Kind: object.KindService, Namespace: namespace, Name: "fairway"}
	host := w.Host(object.ResolveHost(own.Name, namespace, object.Domain))
	if host == nil {
		return nil
	}
	i := slices.IndexFunc(host.Services, func(s *registry.Service) bool { return s.Ref == own })
	if i < 0 {
		return nil
	}
	s := host.Services[i]
	port := s.PortIndex(debugPort)
	if port < 0 {
		return nil
	}
	if len(s.Addresses) > 0 {
		for range serviceAsks {
			out = append(out, net.JoinHostPort(s.Addresses[0].Addr().String(), strconv.Itoa(debugPort)))
		}
	}
	for _, e := range host.Endpoints[i].Endpoints {
		pod := e.Workload != nil && e.Workload.Ref.Kind == object.KindPod && e.Workload.Ref.Namespace == namespace
		if pod && e.Workload.Ref.Name != self && slices.Contains(e.Workload.Addresses, addressOf(e)) && port < len(e.Ports) && e.Ports[port] != 0 {
			out = append(out, net.JoinHostPort(e.Address, strconv.FormatUint(uint64(e.Ports[port]), 10)))
		}
	}
	return out
}

// addressOf is that of an endpoint; the zero one when it is no IP.
func addressOf(e registry.Endpoint) netip.Addr {
	a, _ := netip.ParseAddr(e.Address)
	return a
}
