package kube

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that the kernel ends with this one.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	log   string
}

// start runs a program; what it says goes to NAME.log in the directory, and its
// pid to NAME.pid, so that a later run can find it if this one is killed and
// the kernel could not.
func start(dir, name, program string, arguments ...string) (*process, error) {
	p := &process{name: name, ended: make(chan struct{}), log: filepath.Join(dir, name+".log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program, arguments...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the signal comes when the thread ends that started it
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	pid := strconv.Itoa(p.cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, name+".pid"), []byte(pid), 0o644); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// grace is how long a program may take to end by itself.
const grace = 2 * time.Second

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// tail is the end of what it said.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

const prefix = "fairway-kube-"

// own marks a directory as in use for as long as the file stays open.
func own(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// young is how long a directory may be without an owner: it is being made.
const young = time.Minute

// sweep removes what runs left behind that were killed.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < young {
			continue
		}
		f, err := own(dir)
		if err != nil {
			continue // in use
		}
		pids, _ := filepath.Glob(filepath.Join(dir, "*.pid"))
		for _, file := range pids {
			b, _ := os.ReadFile(file)
			if child, err := strconv.Atoi(string(b)); err == nil && belongs(child, dir) {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
		_ = os.RemoveAll(dir)
		_ = f.Close()
	}
}

// belongs makes sure that a pid still is the program that was started with the
// directory.
func belongs(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(b), dir)
}
