//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of the kernel, held by a thread of this
// process (the keeper) and by a file descriptor. All methods may be called at
// the same time, and none after Close.
type Namespace struct {
	fd     int
	keeper chan func()
	ended  chan struct{}
}

// NewNamespace makes a namespace whose loopback device is up. An error names
// the missing privilege.
func NewNamespace() (*Namespace, error) {
	n := &Namespace{keeper: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	go n.keep(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	if err := n.Do(prepare); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// keep owns the keeper thread. It ends with the thread (which is never unlocked
// again), and the kernel then kills the processes that Start started from it.
func (n *Namespace) keep(ready chan<- error) {
	defer close(n.ended)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("making a network namespace: %w (needs CAP_SYS_ADMIN: run as root, or in a user namespace)", err)
		return
	}
	fd, err := unix.Open("/proc/self/task/"+strconv.Itoa(unix.Gettid())+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		ready <- fmt.Errorf("opening a new network namespace: %w", err)
		return
	}
	n.fd = fd
	ready <- nil
	for f := range n.keeper {
		f()
	}
}

// prepare runs inside a new namespace.
func prepare() error {
	for name, value := range map[string]string{
		"ipv4/ip_unprivileged_port_start": "0", // as containerd does: port 80 needs no privilege
		"ipv6/conf/all/accept_dad":        "0", // addresses are usable at once
		"ipv6/conf/default/accept_dad":    "0",
		"ipv6/conf/default/accept_ra":     "0",
	} {
		if err := setting(name, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return loopbackUp()
}

// setting writes a sysctl of the namespace that the thread is in.
func setting(name, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("setting net/%s to %s: %w", name, value, err)
	}
	return nil
}

// Do runs f on a thread inside the namespace. Sockets that f opens stay there;
// goroutines that f starts run elsewhere. The thread ends with f: without root
// on the machine there is no way back into the namespace that it came from.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering a network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Start starts the command inside the namespace. The kernel kills it when this
// process, or the namespace, ends.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	done := make(chan error, 1)
	select {
	case n.keeper <- func() { done <- cmd.Start() }:
		return <-done
	case <-n.ended:
		return fmt.Errorf("starting %s: %w", cmd.Path, net.ErrClosed)
	}
}

// Dial connects to an address (never a name) from inside the namespace.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() (err error) {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		dialer.SetMultipathTCP(false)
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens for stream connections inside the namespace.
func (n *Namespace) Listen(network, address string) (net.Listener, error) {
	var listener net.Listener
	err := n.Do(func() (err error) {
		config := net.ListenConfig{}
		config.SetMultipathTCP(false)
		listener, err = config.Listen(context.Background(), network, address)
		return err
	})
	return listener, err
}

// ListenPacket listens for datagrams inside the namespace.
func (n *Namespace) ListenPacket(network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Close gives the namespace up: processes started in it are killed, and with
// the last of them the kernel removes the namespace and its devices.
func (n *Namespace) Close() {
	close(n.keeper)
	<-n.ended
	unix.Close(n.fd)
}
