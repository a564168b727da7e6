package attack_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/test/attack"
)

var (
	seedFlag = flag.Uint64("seed", 1, "what attackers choose by; 0: another one each time")
	duration = flag.Duration("attack", 15*time.Second, "how long the attack lasts")
)

// battle is what the process of the attackers is told.
type battle struct {
	Seed                              uint64
	Duration                          time.Duration
	XDS, Secure, Debug, Directory     string
	Port                              int
	TenantCount, ProxyCount, Stranger int
}

const battleVariable = "FAIRWAY_ATTACK"

func TestMain(m *testing.M) {
	if text := os.Getenv(battleVariable); text != "" {
		var b battle
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			panic(err)
		}
		b.fight()
		return
	}
	os.Exit(m.Run())
}

// hostilePods are those of each hostile proxy.
const hostilePods = 3

// slots is how many files a tenant has.
const slots = 3

func (b battle) tenant(i int) attack.Tenant {
	return attack.Tenant{Namespace: fmt.Sprint("evil-", i), Directory: b.Directory, Victim: fmt.Sprint("ns", i%namespaces), Host: host, Port: b.Port}
}

// fight is the process of the attackers. It says what it begins.
func (b battle) fight() {
	ctx, cancel := context.WithTimeout(context.Background(), b.Duration)
	defer cancel()
	var all sync.WaitGroup
	begin := time.Now()
	worker := func(kind string, n int, step func(i int, r *rand.Rand) (string, func(context.Context))) {
		for i := range n {
			r := rand.New(rand.NewPCG(b.Seed, uint64(i)+uint64(len(kind))<<32)) //nolint:gosec // equal seeds attack equally
			all.Go(func() {
				for ctx.Err() == nil {
					what, run := step(i, r)
					fmt.Printf("%6.2fs %s %d: %s\n", time.Since(begin).Seconds(), kind, i, what)
					short, cancel := context.WithTimeout(ctx, time.Duration(500+r.IntN(4000))*time.Millisecond)
					run(short)
					cancel()
					time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				}
			})
		}
	}
	worker("tenant", b.TenantCount, func(i int, r *rand.Rand) (string, func(context.Context)) {
		t, slot, n := b.tenant(i), r.IntN(slots), r.IntN(len(attack.Tenants)+2)
		if n >= len(attack.Tenants) {
			every := time.Duration(20+r.IntN(200)) * time.Millisecond
			return "routes that lead nowhere", func(ctx context.Context) { _ = t.Flip(ctx, slot, every) }
		}
		return attack.Tenants[n].Name, func(context.Context) { _ = t.Write(attack.Tenants[n], slot, r) }
	})
	worker("proxy", b.ProxyCount, func(i int, r *rand.Rand) (string, func(context.Context)) {
		m, pod := attack.Proxies[r.IntN(len(attack.Proxies))], r.IntN(hostilePods)
		p := attack.Proxy{Address: b.XDS, Node: fmt.Sprintf("sidecar~10.66.%d.%d~bad-%d-%d.evil-0~evil-0.svc.cluster.local", i, pod+1, i, pod)}
		return m.Name, func(ctx context.Context) { m.Run(ctx, p, r) }
	})
	worker("stranger", b.Stranger, func(i int, r *rand.Rand) (string, func(context.Context)) {
		m := attack.Strangers[r.IntN(len(attack.Strangers))]
		s := attack.Stranger{From: net.IPv4(127, 66, 0, byte(1+i)), Secure: b.Secure, Debug: b.Debug}
		return m.Name, func(ctx context.Context) { m.Run(ctx, s, r) }
	})
	all.Wait()
}

// TestAttack lets tenants, proxies and strangers loose on the control plane of an honest
// mesh. Its short form is part of every run; `make attack` is the long one.
func TestAttack(t *testing.T) {
	chosen := *seedFlag
	if chosen == 0 {
		chosen = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d, %s of attack: make attack SEED=%d DURATION=%s", chosen, *duration, chosen, *duration)
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(free(t))
	if err != nil {
		t.Fatal(err)
	}
	gatewayPort, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	backend, backendPort := serveBackend(t)
	writeMesh(t, dir, backend, backendPort, gatewayPort)
	p := start(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := connect(ctx, p.xds)
	f.asFresh(t)
	requests := askGateway(t, p, port)

	const quietTime = 4 * time.Second
	quietly, done := context.WithTimeout(ctx, quietTime)
	quiet := f.changes(quietly, t, dir, 0)
	done()
	write(t, dir, "change.yaml", webRule(1, "steady"))
	f.asFresh(t)
	before := f.proxies[0].held()
	honest := f.most()
	heap, err := p.heap()
	if err != nil {
		t.Fatal(err)
	}

	b := battle{Seed: chosen, Duration: *duration, XDS: p.xds, Secure: p.secure, Debug: p.debug, Directory: dir, Port: gatewayPort, TenantCount: 3, ProxyCount: 4, Stranger: 2}
	story, ended := b.begin(t)
	underAttack, done := context.WithCancel(ctx)
	streams := watch(underAttack, p)
	go func() { <-ended; done() }()
	attacked := f.changes(underAttack, t, dir, 1_000_000)
	<-ended
	done()

	check := func(when string) {
		t.Helper()
		if err := f.lost(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if !p.running() {
			t.Fatalf("%s: the control plane has ended", when)
		}
	}
	check("after the attack")
	write(t, dir, "change.yaml", webRule(1, "steady"))
	f.asFresh(t)
	for i := range b.TenantCount {
		b.tenant(i).Leave(slots)
	}
	eventually(t, "a proxy has what it had before the attack", func() error { return difference(before, f.proxies[0].held()) })
	f.asFresh(t)
	var after int64
	eventually(t, "memory is back at 1.3 × what it was", func() (err error) {
		if after, err = p.heap(); err == nil && float64(after) > 1.3*float64(heap) {
			err = fmt.Errorf("%d bytes, and %d before", after, heap)
			time.Sleep(time.Second)
		}
		return err
	})
	check("at the end")
	if n := p.most(); !p.alone && n > room {
		t.Errorf("the control plane had up to %d bytes resident, more than %d", n, room)
	}
	// Each tenant may export so much, and so many clusters of subsets; what is small does not count.
	settings := mesh.DefaultSettings()
	of := f.most()
	if bound := honest.heavy + b.TenantCount*(settings.ExportedResources+settings.SubsetClusters+slots*100*10); of.heavy > bound {
		t.Errorf("a sidecar had to hold %d clusters and listeners, more than %d", of.heavy, bound)
	}
	t.Logf("an honest sidecar held %d clusters and listeners and %d KiB in all before, and at most %d and %d KiB", honest.heavy, honest.bytes>>10, of.heavy, of.bytes>>10)
	requests.report(t)
	most := <-streams
	// Each hostile pod may have 16; every honest proxy has one, and one that comes anew.
	// Who has not said who it is has 8 of a connection: 20 of each idle proxy, 10 of a stranger.
	if bound := float64(b.ProxyCount*hostilePods*16 + 2*len(f.proxies) + 1 + 8*(20*b.ProxyCount+10*b.Stranger)); most > bound {
		t.Errorf("there were %.0f connections, more than %.0f", most, bound)
	}
	t.Logf("honest changes: quiet p50 %s, p99 %s of %d; attacked p50 %s, p99 %s of %d", share(quiet, 50), share(quiet, 99), len(quiet), share(attacked, 50), share(attacked, 99), len(attacked))
	t.Logf("live heap %d KiB before, %d KiB after; at most %d MiB resident; at most %.0f connections", heap>>10, after>>10, p.most()>>20, most)
	if len(quiet) == 0 || len(attacked) == 0 {
		t.Error("there were no honest changes")
	}
	if text, err := os.ReadFile(story); t.Failed() && err == nil {
		t.Logf("what the attackers began:\n%s", text)
	}
}

// begin starts the attackers, who have little of the processor.
func (b battle) begin(t *testing.T) (story string, ended chan struct{}) {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	story = filepath.Join(t.TempDir(), "attackers")
	out, err := os.Create(story)
	if err != nil {
		t.Fatal(err)
	}
	line := append(group(t, "attackers", littleCPU), "nice", "-n", "10", os.Args[0])
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), battleVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		late := time.AfterFunc(b.Duration+60*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the attackers: %v", err)
		}
		out.Close()
	}()
	return story, ended
}

// watch looks at the number of connections until ctx ends, and then tells the highest.
func watch(ctx context.Context, p *plane) <-chan float64 {
	out := make(chan float64, 1)
	go func() {
		most := 0.0
		for ctx.Err() == nil {
			most = max(most, p.metric("fairway_xds_connections"))
			time.Sleep(500 * time.Millisecond)
		}
		out <- most
	}()
	return out
}

// share is the value that percent of a list do not exceed.
func share(list []time.Duration, percent int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)*percent/100].Round(100 * time.Microsecond)
}
