package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

var (
	duration = flag.Duration("soak", 0, "how long changes are made; 0: not at all")
	seed     = flag.Uint64("seed", 0, "what is drawn follows from it; 0: another one each time")
	rate     = flag.Float64("rate", 12, "changes a second")
	proxies  = flag.Int("proxies", 48, "how many are connected")
	profiles = flag.String("profiles", "", "directory for heap profiles of the two control planes that are compared")
)

const (
	// settles is longer than anything is kept for those who may come back.
	settles = 45 * time.Second
	// looks is how often the heap is said meanwhile, at most.
	looks = time.Minute
	// connected and alone are by how much a control plane may hold more than one
	// that was started just now, with its proxies and after they have left.
	connected, alone = 1.3, 1.3
)

// TestSoak makes changes for a long time, and compares.
func TestSoak(t *testing.T) {
	if *duration == 0 {
		t.Skip("takes as long as you like: make soak DURATION=1h")
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	server := kubetest.Start(t, kube.Options{})
	w := newWorld(t, server.REST, *seed)
	w.fill()
	program := build(t)
	old := start(t, program, server.Kubeconfig, "old")
	f := newFleet(t, old.xds)
	draw := rand.New(rand.NewPCG(*seed, 1)) //nolint:gosec // equal seeds, equal proxies
	for place := range *proxies {
		f.join(place, labels(draw, place))
	}
	f.quiet(time.Minute)
	t.Logf("%3.0f min: heap %.1f MB", 0.0, old.heap())

	began, said, replaced := time.Now(), time.Now(), 0
	tick := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	defer tick.Stop()
	for time.Since(began) < *duration {
		<-tick.C
		w.change()
		if draw.IntN(20) == 0 {
			place := draw.IntN(*proxies)
			f.replace(place, labels(draw, place))
			replaced++
		}
		if time.Since(said) > looks {
			said = time.Now()
			t.Logf("%3.0f min: heap %.1f MB", time.Since(began).Minutes(), old.heap())
		}
	}
	sum := replaced
	for what, n := range w.done {
		sum += n
		t.Logf("%6d %s", n, what)
	}
	t.Logf("%6d a proxy leaves and another comes", replaced)
	if sum < 10 {
		t.Fatal("next to nothing has changed")
	}
	compare(t, old, f, start(t, program, server.Kubeconfig, "fresh"), sum)
}

// compare compares what the two control planes hold, with the same proxies and
// without any.
func compare(t *testing.T, old *plane, f *fleet, fresh *plane, changes int) {
	same := newFleet(t, fresh.xds)
	for place, p := range f.of {
		same.join(place, p.labels)
	}
	for p, c := range map[*plane]*fleet{old: f, fresh: same} {
		c.quiet(2 * time.Minute)
		if n := p.metric("fairway_xds_proxies"); int(n) != *proxies {
			t.Errorf("%v of %d proxies are connected with %s", n, *proxies, p.name)
		}
	}
	time.Sleep(settles)
	o, n := old.heap(), fresh.heap()
	old.profile()
	fresh.profile()
	t.Logf("after %d changes, with %d proxies: heap %.1f MB, of a fresh start %.1f MB: %.2f", changes, *proxies, o, n, o/n)
	if o > connected*n {
		t.Errorf("with its proxies it holds %.1f MB, one that was started just now %.1f MB", o, n)
	}
	f.leave()
	same.leave()
	time.Sleep(settles)
	o, n = old.heap(), fresh.heap()
	t.Logf("after the proxies have left: heap %.1f MB, of a fresh start %.1f MB: %.2f", o, n, o/n)
	if o > alone*n {
		t.Errorf("without proxies it holds %.1f MB, one that was started just now %.1f MB", o, n)
	}
}

// labels are those of a proxy's Pod; some are of a Pod that was never there.
func labels(draw *rand.Rand, place int) map[string]any {
	if place%8 == 0 {
		return map[string]any{"istio": "ingressgateway"}
	}
	if draw.IntN(4) == 0 {
		return map[string]any{"app": fmt.Sprint("x-", draw.IntN(1<<30)), "version": "v1"}
	}
	return map[string]any{"app": named(draw.IntN(services)), "version": fmt.Sprint("v", draw.IntN(2))}
}
