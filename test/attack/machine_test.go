package attack_test

import (
	"bufio"
	"errors"
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
	"testing"
	"time"
)

// room is the memory in bytes that the control plane is alone in.
const room = 512 << 20

// group is a control group, as a prefix of a command: what is run after it is in the
// group. It is empty where the machine lets nobody make one.
func group(t *testing.T, name string, settings map[string]string) []string {
	t.Helper()
	const mount = "/sys/fs/cgroup"
	name = fmt.Sprintf("fairway-attack-%d-%s", os.Getpid(), name)
	_, err := os.Stat(filepath.Join(mount, "cgroup.controllers"))
	unified := err == nil
	dirs := map[string]bool{}
	for file, value := range settings {
		controller, _, _ := strings.Cut(file, ".")
		dir := filepath.Join(mount, controller, name)
		if unified {
			_ = os.WriteFile(filepath.Join(mount, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			dir = filepath.Join(mount, name)
		}
		if os.Mkdir(dir, 0o755) == nil {
			t.Cleanup(func() { eventually(t, "the group is empty", func() error { return os.Remove(dir) }) })
		}
		if os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644) == nil {
			dirs[dir] = true
		}
	}
	if len(dirs) == 0 {
		t.Logf("no control group for %s can be made here", name)
		return nil
	}
	script := ""
	for dir := range dirs {
		script += "echo $$ > " + dir + "/cgroup.procs && "
	}
	return []string{"sh", "-c", script + `exec "$@"`, "sh"}
}

// memoryOnly and littleCPU are settings of both versions; those of the other are refused.
var (
	memoryOnly = map[string]string{"memory.max": strconv.Itoa(room), "memory.limit_in_bytes": strconv.Itoa(room)}
	littleCPU  = map[string]string{"cpu.max": "50000 100000", "cpu.cfs_quota_us": "50000"}
)

// plane is the control plane as a process.
type plane struct {
	xds, secure, debug string
	cmd                *exec.Cmd
	log                string
	alone              bool // in a group that ends it when it takes more than room
	ended              chan struct{}
}

func start(t *testing.T, config string) *plane {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "fairway")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/fairway-mesh/fairway/cmd/fairway").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := &plane{xds: free(t), secure: free(t), debug: free(t), log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	alone := group(t, "plane", memoryOnly)
	p.alone = alone != nil
	line := append(alone, program, "serve", "--config", config, "--ca-directory", filepath.Join(dir, "ca"),
		"--xds-address", p.xds, "--secure-xds-address", p.secure, "--debug-address", p.debug)
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT="+strconv.Itoa(room))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() {
			t.Error("the control plane did not end within 10 s of SIGTERM")
			_ = p.cmd.Process.Kill()
		})
		<-p.ended
		late.Stop()
		if text, err := os.ReadFile(p.log); t.Failed() && err == nil {
			t.Logf("the end of the control plane's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	eventually(t, "the control plane is ready", func() error {
		_, err := p.get("/readyz")
		return err
	})
	return p
}

func (p *plane) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// get asks the debug port, which strangers ask too, from an address of its own.
func (p *plane) get(path string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + p.debug + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, r.StatusCode)
	}
	return string(text), err
}

// heap is what is reachable after a collection, in bytes.
func (p *plane) heap() (int64, error) {
	for range 2 {
		if _, err := p.get("/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
	}
	text, err := p.get("/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "# HeapAlloc = "); ok {
			return strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return 0, errors.New("the profile does not tell the live heap")
}

// metric is a value of the process, or -1.
func (p *plane) metric(name string) float64 {
	text, _ := p.get("/metrics")
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
				return f
			}
		}
	}
	return -1
}

// most is the most memory that the process ever had resident, in bytes, with what it
// has in common with its file.
func (p *plane) most() int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually tries for two minutes: on a machine with much else to do, what is kept for half a
// minute goes later.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Errorf("not after two minutes: %s: %v", what, err)
}
