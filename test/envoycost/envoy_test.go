package envoycost

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/internal/local/network"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

// envoy is the proxy of one of the pods.
type envoy struct {
	cmd  *exec.Cmd
	wire *network.Wire
}

// startEnvoy runs the gateway, or the sidecar of an application's pod, with
// listeners beside those that the control plane sends.
func (m *mesh) startEnvoy(t *testing.T, app string, listeners ...any) *envoy {
	t.Helper()
	e := &envoy{wire: map[string]*network.Wire{"client": m.client, "server": m.server, "gateway": m.gateway}[app]}
	role := bootstrap.Router
	if app != "gateway" {
		role = bootstrap.Sidecar
		if err := e.wire.Do(func() error { return redirect.Apply(redirect.Default()) }); err != nil {
			t.Fatal(err)
		}
	}
	config := bootstrap.Config{
		Role: role, Pod: app + "-5d4f-0", Namespace: "shop", IP: map[string]netip.Addr{"client": clientAddress, "server": serverAddress, "gateway": gatewayAddress}[app].String(),
		ServiceAccount: app, Workload: app, Labels: map[string]string{"app": app, "version": "v1"}, XDSAddress: m.xds(), Plaintext: true,
	}
	static, err := bootstrap.Render(config)
	if err != nil {
		t.Fatal(err)
	}
	resources := static["static_resources"].(map[string]any)
	have, _ := resources["listeners"].([]any)
	resources["listeners"] = append(have, listeners...)
	text, err := json.Marshal(static)
	if err != nil {
		t.Fatal(err)
	}
	e.run(t, readable(t, text), bootstrap.Environment(config))
	within(t, "the proxy of "+app+" is ready", func() error {
		_, err := get(e.wire.Namespace, "http://"+netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bootstrap.ReadinessPort).String()+bootstrap.ReadinessPath)
		return err
	})
	return e
}

// readable puts a text into a file that every user may read.
func readable(t *testing.T, text []byte) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "envoycost-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "bootstrap.json")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(file, text, 0o644)); err != nil {
		t.Fatal(err)
	}
	return file
}

// run starts Envoy as the user that capture leaves alone. That user may not reach
// the directory of the binary; an open file it may execute.
func (e *envoy) run(t *testing.T, config string, environment []bootstrap.Variable) {
	t.Helper()
	binary, err := os.Open(localtest.Need(t))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	log, err := os.Create(filepath.Join(t.TempDir(), "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	e.cmd = exec.Command("/proc/self/fd/3", append(bootstrap.Args(), "--concurrency", "2", "--use-dynamic-base-id", "--config-path", config)...)
	for _, v := range environment {
		e.cmd.Env = append(e.cmd.Env, v.Name+"="+v.Value)
	}
	e.cmd.ExtraFiles, e.cmd.Stdout, e.cmd.Stderr = []*os.File{binary}, log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: redirect.DefaultProxyUID, Gid: redirect.DefaultProxyGID}}
	if err := e.wire.Start(e.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.end()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", text[max(0, len(text)-3000):])
		}
		log.Close()
	})
}

func (e *envoy) end() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

func (e *envoy) ask(path string) ([]byte, error) {
	return get(e.wire.Namespace, "http://"+netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bootstrap.AdminPort).String()+path)
}

// heap is what Envoy has allocated, in bytes, once it stays that way.
func (e *envoy) heap(t *testing.T) int64 {
	t.Helper()
	var last int64
	for range 40 {
		text, err := e.ask("/memory")
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Allocated int64 `json:"allocated,string"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if d := m.Allocated - last; d < 20_000 && d > -20_000 {
			return m.Allocated
		}
		last = m.Allocated
		time.Sleep(time.Second)
	}
	return last
}

// cpu is the time that all threads have run.
func (e *envoy) cpu(t *testing.T) time.Duration {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", e.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of Envoy: %v", err)
	}
	sum := int64(0)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum)
}

// listeners are those that the control plane sent, by name.
func (e *envoy) listeners(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := e.ask("/config_dump?resource=dynamic_listeners")
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		Configs []struct {
			Name   string `json:"name"`
			Active struct {
				Listener map[string]any `json:"listener"`
			} `json:"active_state"`
		} `json:"configs"`
	}
	if err := json.Unmarshal(text, &dump); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, c := range dump.Configs {
		out[c.Name] = c.Active.Listener
	}
	return out
}
