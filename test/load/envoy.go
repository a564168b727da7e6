package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
)

// envoy is one real Envoy that holds the whole mesh.
type envoy struct {
	cmd   *exec.Cmd
	admin string
}

// envoys measures what configuration costs inside Envoy, in either variant.
func (b *bench) envoys(ctx context.Context) {
	program, err := envoyfetch.Find(envoyfetch.Version)
	if err != nil {
		b.failed = err
		return
	}
	for _, delta := range []bool{true, false} {
		if b.failed == nil {
			b.envoy(ctx, program, delta)
		}
	}
}

func (b *bench) envoy(ctx context.Context, program string, delta bool) {
	name := map[bool]string{true: "Envoy, delta and VHDS: ", false: "Envoy, state of the world: "}[delta]
	e, err := b.startEnvoy(program, delta)
	if err != nil {
		b.failed = err
		return
	}
	defer func() { _ = e.cmd.Process.Kill(); _ = e.cmd.Wait() }()
	start := time.Now()
	ready, err := e.ready(ctx)
	if err != nil {
		b.failed = err
		return
	}
	time.Sleep(2 * time.Second)
	c := costOf(e.cmd.Process.Pid)
	b.add(result{Scenario: name + "the whole mesh", Changes: 1, CPU: ms(c.CPU), RSS: c.RSS, Heap: e.allocated(), lasts: []time.Duration{ready.Sub(start)}})
	b.envoyChange(ctx, e, name+"flip", `rds\.`, func(i int) (change func(context.Context) error) {
		n, g := b.reused(i), b.generation()
		return func(ctx context.Context) error { return b.source.update(ctx, b.world.route(n, g)) }
	})
	w := b.world
	extra := func(i int) int { return w.Services + 1000 + i*10 }
	b.envoyChange(ctx, e, name+"Service added", `cluster_manager\.cds\.`, func(i int) (change func(context.Context) error) {
		return func(ctx context.Context) error { return b.source.create(ctx, []object{w.service(extra(i))}) }
	})
	for i := range 2 * b.envoyRounds() {
		_ = b.source.remove(ctx, w.service(extra(i)))
	}
}

func (b *bench) envoyRounds() int { return min(b.rounds, 10) }

// envoyChange makes changes twice: undisturbed for the CPU, and looking at the
// counters of accepted updates for the time until they are in force.
func (b *bench) envoyChange(ctx context.Context, e *envoy, name, counters string, change func(int) func(context.Context) error) {
	n := b.envoyRounds()
	r := result{Scenario: name, Changes: n}
	rest := costOf(e.cmd.Process.Pid)
	time.Sleep(time.Duration(n) * 300 * time.Millisecond)
	before := costOf(e.cmd.Process.Pid)
	for i := range n {
		next := time.Now().Add(300 * time.Millisecond)
		if b.failed = change(i)(ctx); b.failed != nil {
			return
		}
		time.Sleep(time.Until(next))
	}
	after := costOf(e.cmd.Process.Pid)
	idle := before.CPU - rest.CPU
	r.CPU, r.RSS, r.Heap = ms(max(after.CPU-before.CPU-idle, 0))/float64(n), after.RSS, e.allocated()
	for i := range n {
		had := e.updates(counters)
		if b.failed = change(n + i)(ctx); b.failed != nil {
			return
		}
		at := time.Now()
		for e.updates(counters) == had && time.Since(at) < patience {
			time.Sleep(500 * time.Microsecond)
		}
		r.lasts = append(r.lasts, time.Since(at))
		time.Sleep(200 * time.Millisecond)
	}
	b.add(r)
}

// startEnvoy runs Envoy in the place of one of the sidecars.
func (b *bench) startEnvoy(program string, delta bool) (*envoy, error) {
	host, port, err := net.SplitHostPort(b.plane.xds)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	p := b.fleet.proxies[0]
	api := map[bool]string{true: "DELTA_GRPC", false: "GRPC"}[delta]
	source := map[string]any{"ads": map[string]any{}, "resource_api_version": "V3"}
	address := func(host string, port int) map[string]any {
		return map[string]any{"socket_address": map[string]any{"address": host, "port_value": port}}
	}
	bootstrap, err := json.Marshal(map[string]any{
		"node":  map[string]any{"id": p.id, "cluster": "load", "metadata": map[string]any{"NAMESPACE": p.namespace}},
		"admin": map[string]any{"address": address("127.0.0.1", 0)},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{"api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "xds"}}}},
			"cds_config": source, "lds_config": source,
		},
		"static_resources": map[string]any{"clusters": []any{map[string]any{
			"name": "xds", "type": "STATIC", "connect_timeout": "1s",
			"load_assignment": map[string]any{"cluster_name": "xds", "endpoints": []any{map[string]any{"lb_endpoints": []any{map[string]any{
				"endpoint": map[string]any{"address": address(host, number)}}}}}},
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}}}},
		}}},
	})
	if err != nil {
		return nil, err
	}
	admin := filepath.Join(b.dir, "admin-"+api)
	cmd := exec.Command(program, "--config-yaml", string(bootstrap), "--admin-address-path", admin, "--use-dynamic-base-id",
		"--concurrency", "2", "--log-path", filepath.Join(b.dir, "envoy-"+api+".log"), "-l", "warning")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Envoy: %w", err)
	}
	for range 500 {
		if text, err := os.ReadFile(admin); err == nil && len(text) > 0 {
			return &envoy{cmd: cmd, admin: strings.TrimSpace(string(text))}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	return nil, fmt.Errorf("Envoy does not tell its admin address: %w", cmd.Wait())
}

func (e *envoy) get(path string) string {
	r, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// ready waits until Envoy has all that it needs to start.
func (e *envoy) ready(ctx context.Context) (time.Time, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if strings.HasPrefix(e.get("/ready"), "LIVE") {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("Envoy does not become ready: %w", ctx.Err())
}

// allocated is Envoy's heap in bytes, as it accounts it itself.
func (e *envoy) allocated() int64 {
	var m struct {
		Allocated string `json:"allocated"`
	}
	_ = json.Unmarshal([]byte(e.get("/memory")), &m)
	n, _ := strconv.ParseInt(m.Allocated, 10, 64)
	return n
}

// updates is the sum of the counters of accepted updates that match.
func (e *envoy) updates(counters string) int {
	sum := 0
	for line := range strings.Lines(e.get("/stats?usedonly&filter=" + counters + ".*(update_success|config_reload)$")) {
		_, value, _ := strings.Cut(line, ": ")
		n, _ := strconv.Atoi(strings.TrimSpace(value))
		sum += n
	}
	return sum
}
