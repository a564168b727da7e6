package envoycost

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

var requests = flag.Int("requests", 0, "measure the CPU time of requests, over that many in each of three rounds")

// TestMain gets the rights that networks need.
func TestMain(m *testing.M) { flag.Parse(); os.Exit(localtest.Main(m)) }

// TestCPU measures the CPU time of one request at the client's and the server's
// proxy under mutual TLS: with the standard metrics, and without any.
func TestCPU(t *testing.T) {
	if *requests == 0 {
		t.Skip("measured by make bench-envoy only: -requests says over how many")
	}
	localtest.Need(t)
	var with, without [2]time.Duration
	t.Run("with metrics", func(t *testing.T) { with = measure(t, newMesh(t)) })
	t.Run("without", func(t *testing.T) { without = measure(t, newMesh(t, uncounted())) })
	t.Logf("%-42s %8s %8s %8s", "CPU of one request, mutual TLS, at …", "µs", "without", "ratio")
	for i, at := range []string{"the client's Envoy", "the server's Envoy"} {
		t.Logf("%-42s %8d %8d %8.1f", at, with[i].Microseconds(), without[i].Microseconds(), float64(with[i])/float64(without[i]))
	}
}

// measure takes the best of three rounds: what else runs on the machine only
// adds.
func measure(t *testing.T, m *mesh) (best [2]time.Duration) {
	t.Helper()
	m.answer(t)
	envoys := [2]*envoy{m.startEnvoy(t, "client"), m.startEnvoy(t, "server")}
	m.requests(t, *requests/10+1)
	for round := range 3 {
		before := [2]time.Duration{envoys[0].cpu(t), envoys[1].cpu(t)}
		m.requests(t, *requests)
		for i, e := range envoys {
			took := (e.cpu(t) - before[i]) / time.Duration(*requests)
			if round == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	return best
}
