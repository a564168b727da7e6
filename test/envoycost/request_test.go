package envoycost

import (
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

var requests = flag.Int("requests", 0, "measure the CPU time of requests: over that many in all, with metrics and without")

// TestMain gets the rights that networks need.
func TestMain(m *testing.M) { flag.Parse(); os.Exit(localtest.Main(m)) }

// rounds is how often TestCPU measures with metrics and, right after that, without.
const rounds = 20

// ends are the CPU times of one request at the client's proxy and the server's.
type ends [2]time.Duration

// TestCPU measures the CPU time of one request at the client's and the server's
// proxy under mutual TLS: with the standard metrics, and without any. Both meshes
// run at once and take turns, and the ratio is the median of those of all turns:
// what else runs on the machine changes both times and not their ratio.
func TestCPU(t *testing.T) {
	if *requests == 0 {
		t.Skip("measured by make bench-envoy only: -requests says over how many")
	}
	localtest.Need(t)
	with, without := newPair(t), newPair(t, uncounted())
	var best [2]ends
	var ratios [2][]float64
	for range rounds {
		a, b := with.measure(t), without.measure(t)
		for i := range a {
			for k, took := range []time.Duration{a[i], b[i]} {
				if best[k][i] == 0 || took < best[k][i] {
					best[k][i] = took
				}
			}
			ratios[i] = append(ratios[i], float64(a[i])/float64(b[i]))
		}
	}
	t.Logf("%-42s %8s %8s %8s", "CPU of one request, mutual TLS, at …", "µs", "without", "ratio")
	for i, at := range []string{"the client's Envoy", "the server's Envoy"} {
		slices.Sort(ratios[i])
		t.Logf("%-42s %8d %8d %8.2f", at, best[0][i].Microseconds(), best[1][i].Microseconds(), ratios[i][rounds/2])
	}
}

// pair is a mesh with the proxies of a client and a server.
type pair struct {
	*mesh
	envoys [2]*envoy
}

func newPair(t *testing.T, more ...object) *pair {
	t.Helper()
	p := &pair{mesh: newMesh(t, more...)}
	p.answer(t)
	p.envoys = [2]*envoy{p.startEnvoy(t, "client"), p.startEnvoy(t, "server")}
	p.requests(t, *requests/10+1)
	return p
}

// measure is one turn.
func (p *pair) measure(t *testing.T) (took ends) {
	t.Helper()
	n := *requests/rounds + 1
	var before ends
	for i, e := range p.envoys {
		before[i] = e.cpu(t)
	}
	p.requests(t, n)
	for i, e := range p.envoys {
		took[i] = (e.cpu(t) - before[i]) / time.Duration(n)
	}
	return took
}
