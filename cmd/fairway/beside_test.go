package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/snapshot"
)

// newPeer is another control plane of the same API, as the binary that $ISTIOD names.
func newPeer(t *testing.T, config *rest.Config) *plane {
	t.Helper()
	p := newPlane(t, config)
	p.readyPath = "/ready"
	monitoring := lasting(t)
	p.command = func() *exec.Cmd {
		cmd := exec.Command(os.Getenv("ISTIOD"), "discovery", "--kubeconfig", p.kubeconfig, "--grpcAddr", p.xds, "--httpAddr", p.debug,
			"--httpsAddr", "", "--secureGRPCAddr", "", "--monitoringAddr", monitoring, "--ctrlz_port", "0")
		cmd.Env = append(os.Environ(), "POD_NAME="+p.name, "POD_NAMESPACE=istio-system", "PILOT_CERT_PROVIDER=none", "ENABLE_CA_SERVER=false")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	return p
}

// worst is how long a control plane is waited for after a harm.
const worst = 3 * time.Minute

// besides does each harm for as long as long, and tells what came of it.
func (d *badDay) besides(long time.Duration) (out map[string]string) {
	d.Helper()
	out = map[string]string{}
	for _, h := range d.harms() {
		lost := d.lost()
		h.do()
		time.Sleep(long)
		h.end()
		began := time.Now()
		for !d.new() && time.Since(began) < worst {
			time.Sleep(20 * time.Millisecond)
		}
		seen := fmt.Sprintf("right after %.1f s", time.Since(began).Seconds())
		if !d.new() {
			seen = fmt.Sprintf("not right after %s", worst)
		}
		time.Sleep(2 * time.Second) // what follows
		if n := d.lost() - lost; n > 0 {
			seen += fmt.Sprintf("; %d removals", n)
		}
		select {
		case <-d.plane.gone:
			seen += "; the process ended and was started by hand"
			d.plane.start()
			d.plane.await("ready", worst, d.plane.ready)
		default:
		}
		out[h.name] = seen
		d.Logf("%s: %s", h.name, seen)
		until := time.Now().Add(time.Minute)
		for !complete(d.sidecar, d.gateway) && time.Now().Before(until) {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return out
}

// lost is how many resources the proxies were told to remove.
func (d *badDay) lost() (n int) {
	for _, f := range []*follower{d.sidecar, d.gateway} {
		f.mu.Lock()
		for _, x := range f.lost {
			if !strings.HasPrefix(x, fmt.Sprint(snapshot.Secret)) {
				n++
			}
		}
		f.mu.Unlock()
	}
	return n
}

// TestBadDaysBeside does the same harm to Fairway and, where $ISTIOD names a binary, to
// istiod, and writes a table of both. It compares, and demands nothing: TestBadDays does.
func TestBadDaysBeside(t *testing.T) {
	if os.Getenv("ISTIOD") == "" {
		t.Skip("$ISTIOD names no binary")
	}
	const long = 45 * time.Second
	var names []string
	seen := map[string]map[string]string{}
	var mu sync.Mutex
	t.Run("side by side", func(t *testing.T) {
		for name, make := range map[string]func(*testing.T, *rest.Config) *plane{"Fairway": newPlane, "istiod": newPeer} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newBadDayOf(t, make)
				out := d.besides(long)
				mu.Lock()
				defer mu.Unlock()
				seen[name], names = out, nil
				for _, h := range d.harms() {
					names = append(names, h.name)
				}
			})
		}
	})
	var table strings.Builder
	table.WriteString("| for 45 s | Fairway | istiod |\n|---|---|---|\n")
	for _, n := range names {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", n, seen["Fairway"][n], seen["istiod"][n])
	}
	t.Logf("\n%s", table.String())
}
