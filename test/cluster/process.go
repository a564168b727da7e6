package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
)

// process is a program that runs in a node's network namespace.
type process struct {
	name, log string
	pid       int
	ended     chan struct{} // closed when it has
}

// start runs a program in the namespace of a node. Unless the cluster is kept,
// the kernel ends it with this process. What it says is in NAME.log, its pid in
// NAME.pid.
func (i *instance) start(keep bool, node int, name, program string, arguments ...string) (*process, error) {
	p := &process{name: name, log: i.file(name + ".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, arguments...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = i.dir, log, log
	path := program[:strings.LastIndex(program, "/")] // containerd looks for its shim and for runc
	cmd.Env = append(os.Environ(), "PATH="+path+":"+i.file("bin")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !keep {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	space, err := netns.GetFromName(i.name(node))
	if err != nil {
		return nil, fmt.Errorf("finding the network namespace %s: %w", i.name(node), err)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: it stays in the namespace, and its end would end the program
		defer log.Close()
		defer space.Close()
		defer close(p.ended)
		err := netns.Set(space)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	return p, os.WriteFile(i.file(name+".pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// end asks the program to end, and waits until it has.
func (p *process) end(ctx context.Context) error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ending %s: %w", p.name, ctx.Err())
	}
}

// trouble says that a program ended, with its last words.
func (p *process) trouble() error {
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return fmt.Errorf("%s ended; its last words, of %s:\n%s", p.name, p.log, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}
