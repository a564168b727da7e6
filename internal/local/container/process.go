//go:build linux

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
	"golang.org/x/sys/unix"
)

// Process is a program that was started by Start.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu   sync.Mutex
	code int
}

// Start runs the spec in the namespace. fairway is the path of the fairway
// binary. Output goes to stdout and stderr, which may be nil. An error that only
// shows while the program is set up (such as a mount that fails) is written to
// stderr, and the exit code is then SetupFailed.
func Start(ns *network.Namespace, fairway string, spec Spec, stdin io.Reader, stdout, stderr io.Writer) (*Process, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the container's spec: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(fairway, CommandName)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.ExtraFiles = []*os.File{r} // descriptor 3
	cmd.Env = []string{}
	cmd.WaitDelay = 2 * time.Second // for output still held open by a grandchild
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Setpgid: true}
	if err := ns.Start(cmd); err != nil {
		w.Close()
		return nil, fmt.Errorf("starting %s: %w", fairway, err)
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	go p.wait()
	_, err = w.Write(text)
	if e := w.Close(); err == nil {
		err = e
	}
	if err != nil && !errors.Is(err, unix.EPIPE) {
		p.Signal(unix.SIGKILL)
		return nil, fmt.Errorf("handing over the container's spec: %w", err)
	}
	return p, nil
}

func (p *Process) wait() {
	_ = p.cmd.Wait()
	// The group may hold grandchildren that the program left.
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	state := p.cmd.ProcessState
	p.mu.Lock()
	p.code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.code = 128 + int(status.Signal()) // as shells and Kubernetes report it
	}
	p.mu.Unlock()
	close(p.ended)
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// ExitCode is valid after Ended: 128 plus the signal's number for a program that
// a signal ended.
func (p *Process) ExitCode() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code
}

// Signal sends the signal to the program and to all processes of its group.
func (p *Process) Signal(signal syscall.Signal) {
	select {
	case <-p.ended: // the number may belong to another process by now
	default:
		_ = unix.Kill(-p.cmd.Process.Pid, signal)
	}
}
