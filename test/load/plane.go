package main

import (
	"bufio"
	"context"
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
	"time"
)

// plane is the control plane as a process of its own.
type plane struct {
	cmd        *exec.Cmd
	xds, debug string
	secure     string // xDS over TLS
	log        *os.File
	ended      chan struct{} // closed when the process has ended
}

// cost is what a process has used so far, or between two moments.
type cost struct {
	CPU time.Duration // on all threads
	RSS int64         // bytes, now
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startPlane runs the program and waits until it is ready.
func startPlane(ctx context.Context, program, dir string, arguments ...string) (*plane, time.Duration, error) {
	p := &plane{ended: make(chan struct{})}
	var err error
	for _, a := range []*string{&p.xds, &p.debug, &p.secure} {
		if *a, err = freeAddress(); err != nil {
			return nil, 0, err
		}
	}
	if p.log, err = os.Create(filepath.Join(dir, "fairway.log")); err != nil {
		return nil, 0, err
	}
	arguments = append([]string{"serve", "--xds-address", p.xds, "--debug-address", p.debug, "--secure-xds-address", p.secure}, arguments...)
	p.cmd = exec.Command(program, arguments...)
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	p.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(dir, "data"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	for {
		if r, err := http.Get("http://" + p.debug + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return p, time.Since(start), nil
			}
		}
		if ctx.Err() != nil || time.Since(start) > 2*time.Minute {
			p.stop()
			return nil, 0, fmt.Errorf("the control plane did not become ready: %s", p.said())
		}
		select {
		case <-p.ended:
			return nil, 0, fmt.Errorf("the control plane ended: %s", p.said())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *plane) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	done.Stop()
	_ = p.log.Close()
}

// said is the end of what the process has written.
func (p *plane) said() string {
	text, _ := os.ReadFile(p.log.Name())
	return string(text[max(0, len(text)-1000):])
}

// cost reads what the process has used, to the nanosecond as the scheduler
// accounts it.
func (p *plane) cost() cost { return costOf(p.cmd.Process.Pid) }

// idle waits until the process hardly works any more, a minute at most, and
// reads what it has used: of proxies that come back with all that they need
// nothing else tells when they are done.
func (p *plane) idle(ctx context.Context) cost {
	const look, hardly = 200 * time.Millisecond, 5 * time.Millisecond
	c := p.cost()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(look)
		before := c
		if c = p.cost(); c.CPU-before.CPU < hardly {
			break
		}
	}
	return c
}

func costOf(pid int) (c cost) {
	root := "/proc/" + strconv.Itoa(pid)
	tasks, _ := os.ReadDir(root + "/task")
	for _, t := range tasks {
		b, err := os.ReadFile(root + "/task/" + t.Name() + "/schedstat")
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 0 {
			ns, _ := strconv.ParseInt(f[0], 10, 64)
			c.CPU += time.Duration(ns)
		}
	}
	if b, err := os.ReadFile(root + "/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			c.RSS = pages * int64(os.Getpagesize())
		}
	}
	return c
}

// heap is the live heap in bytes: what is reachable after a collection.
func (p *plane) heap() (int64, error) {
	for range 2 { // the next sweeps what this finds, finalizers included
		r, err := http.Get("http://" + p.debug + "/debug/pprof/heap?gc=1")
		if err != nil {
			return 0, fmt.Errorf("asking for a collection: %w", err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	// The text form says what there is right after its own collection.
	r, err := http.Get("http://" + p.debug + "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, fmt.Errorf("asking for the live heap: %w", err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, errors.New("the profile does not tell the live heap")
}

// settledHeap is the live heap when what is kept for a while has been dropped:
// discovery does so within 40 s, snapshot within 45.
func (p *plane) settledHeap() (int64, error) {
	time.Sleep(50 * time.Second)
	return p.heap()
}

// mallocs is how many objects the process has allocated so far, and how many
// of them it takes to say so.
func (p *plane) mallocs() (count, overhead float64) {
	first, _ := p.metric("go_memstats_mallocs_total")
	count, _ = p.metric("go_memstats_mallocs_total")
	return count, count - first
}

// logged is when the process first logged a message; it is waited for.
func (p *plane) logged(message string) (time.Time, error) {
	for range 100 {
		b, err := os.ReadFile(p.log.Name())
		if err != nil {
			return time.Time{}, fmt.Errorf("reading the log of the control plane: %w", err)
		}
		for line := range strings.Lines(string(b)) {
			if at, ok := strings.CutPrefix(line, "time="); ok && strings.Contains(line, "msg="+message) {
				at, _, _ = strings.Cut(at, " ")
				return time.Parse(time.RFC3339Nano, at)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Time{}, fmt.Errorf("the control plane did not log %s", message)
}

// metric is one value of the process's metrics.
func (p *plane) metric(name string) (float64, error) {
	r, err := http.Get("http://" + p.debug + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// profile writes a profile of the process to a file.
func (p *plane) profile(query, file string) error {
	r, err := http.Get("http://" + p.debug + "/debug/pprof/" + query)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r.Body)
	return err
}
