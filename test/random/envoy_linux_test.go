package random_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/internal/local/network"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// refusals is what proxies refused.
type refusals struct {
	mu   sync.Mutex
	list []discovery.Rejection
}

func (r *refusals) add(x discovery.Rejection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, x)
}

func (r *refusals) take() []discovery.Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.list
	r.list = nil
	return l
}

// proxies are real Envoys of a control plane, each in a network of its own.
type proxies struct {
	server   *discovery.Server
	refused  *refusals
	count    int
	logs     []string
	commands []*exec.Cmd
}

func serve(t *testing.T, p *plane) *proxies {
	t.Helper()
	x := &proxies{refused: &refusals{}}
	x.server = discovery.New(discovery.Config{Attach: p.engine.Attach, OnReject: x.refused.add, Log: slog.New(slog.DiscardHandler)})
	return x
}

// start runs an Envoy for a client.
func (x *proxies) start(t *testing.T, envoy string, c snapshot.Client, delta bool) {
	t.Helper()
	ns, err := network.NewNamespace()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(ns.Close)
	listener, err := ns.Listen("tcp", "127.0.0.1:15010")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.server.Serve(ctx, listener, discovery.Transport{}) }()
	t.Cleanup(func() { cancel(); <-done })
	text, err := bootstrap.YAML(bootstrap.Config{Role: bootstrap.Role(c.Role), Pod: c.Pod, Namespace: c.Namespace, IP: c.IP, Labels: c.Labels, XDSAddress: "127.0.0.1:15010", Plaintext: true, StateOfTheWorld: !delta})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "bootstrap.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(envoy, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")
	cmd.Dir, cmd.Stderr, cmd.Stdout = dir, log, io.Discard
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	x.count++
	x.logs = append(x.logs, log.Name())
	x.commands = append(x.commands, cmd)
}

// settled waits until every Envoy has answered to all that there is.
func (x *proxies) settled(t *testing.T) {
	t.Helper()
	quiet := 0
	for deadline := time.Now().Add(90 * time.Second); quiet < 2; time.Sleep(100 * time.Millisecond) {
		states := x.server.Proxies()
		waiting := len(states) != x.count
		for _, p := range states {
			for _, s := range p.Types {
				waiting = waiting || s.State == discovery.Stale && len(s.Rejected) == 0
			}
		}
		if quiet++; waiting {
			quiet = 0
		}
		if time.Now().After(deadline) {
			var logs strings.Builder
			for _, l := range x.logs {
				text, _ := os.ReadFile(l)
				fmt.Fprintf(&logs, "%s\n", text[max(0, len(text)-2000):])
			}
			t.Fatalf("the Envoys do not come to rest: %+v\n%s", states, logs.String())
		}
	}
}

// TestEnvoyTakesAnyMesh keeps real Envoys connected to a mesh of random objects
// under random changes: they refuse nothing, and none of them ends.
func TestEnvoyTakesAnyMesh(t *testing.T) {
	envoy := envoytest.Path(t)
	s := &random.Source{Choices: random.NewChoices(uint64(seeds(1)), nil), Words: random.DefaultWords(), Tame: true}
	r := &run{t: t, source: s, clients: clients, kinds: slices.Concat(random.Kinds, random.Kinds, random.KubernetesKinds)}
	r.plane = started(t, nil, read(t, calm))
	x := serve(t, r.plane)
	x.start(t, envoy, clients[0], true)
	x.start(t, envoy, clients[1], false)
	x.start(t, envoy, clients[3], true)
	x.settled(t)
	rounds := seeds(6)
	sent := 0
	for round := range rounds {
		before := maps.Clone(r.plane.objects)
		var changes []mesh.Change
		for range 10 {
			c := r.next()
			if r.connected(c.Ref) {
				continue
			}
			changes = append(changes, c)
			if c.Object != nil {
				r.plane.objects[c.Ref] = c.Object
			} else {
				delete(r.plane.objects, c.Ref)
			}
		}
		r.plane.apply(t, changes...)
		x.settled(t)
		sent += len(changes)
		for _, no := range x.refused.take() {
			t.Errorf("round %d: %s %s refused %s %v of %v: %s", round, no.Client.Role, no.Client.Pod, no.Type, no.Names, no.Owners, no.Message)
			for _, ref := range no.Owners {
				t.Logf("%s was %s\nis %s", ref, show(before[ref]), show(r.plane.objects[ref]))
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d changes in %d rounds", sent, rounds)
}
