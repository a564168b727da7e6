package soak

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plane is a process of the control plane.
type plane struct {
	*testing.T
	name, xds, debug string
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	program := filepath.Join(t.TempDir(), "fairway")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/fairway")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	return program
}

// start runs the program until the test ends, and waits until it is ready.
func start(t *testing.T, program, kubeconfig, name string) *plane {
	t.Helper()
	p := &plane{T: t, name: name, xds: free(t), debug: free(t)}
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "serve", "--kubeconfig", kubeconfig, "--xds-address", p.xds, "--debug-address", p.debug, "--secure-xds-address", "", "--webhook-address", "")
	cmd.Env = append(os.Environ(), "POD_NAME="+name)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if body, err := p.page("/readyz"); err == nil && strings.HasPrefix(body, "ok") {
			return p
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s is not ready:\n%s", name, text)
		}
	}
}

// free is an address that nothing listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *plane) page(path string) (string, error) {
	r, err := http.Get("http://" + p.debug + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, r.Status, body)
	}
	return string(body), err
}

// heap is what collections find alive, in MB: the least of some.
func (p *plane) heap() float64 {
	p.Helper()
	least := 0.0
	for range 4 {
		if _, err := p.page("/debug/pprof/heap?gc=1"); err != nil { // collects first
			p.Fatal(err)
		}
		if mb := p.metric("fairway_memory_live_bytes") / (1 << 20); least == 0 || mb < least {
			least = mb
		}
	}
	return least
}

// profile writes down of what the heap consists.
func (p *plane) profile() {
	p.Helper()
	if *profiles == "" {
		return
	}
	body, err := p.page("/debug/pprof/heap?gc=1")
	if err == nil {
		err = os.WriteFile(filepath.Join(*profiles, p.name+".pprof"), []byte(body), 0o600)
	}
	if err != nil {
		p.Error(err)
	}
}

// metric is a gauge or a counter without labels.
func (p *plane) metric(name string) float64 {
	p.Helper()
	body, err := p.page("/metrics")
	if err != nil {
		p.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				p.Fatal(err)
			}
			return v
		}
	}
	p.Fatalf("no metric %s", name)
	return 0
}
