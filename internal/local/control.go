//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// controlPlane is "fairway serve" as a child process, in the router's namespace,
// where all pods reach it.
type controlPlane struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}

	mu      sync.Mutex
	stopped bool // on purpose
}

// startControlPlane starts it and waits until it says that it is ready.
func startControlPlane(ctx context.Context, m *Mesh) (*controlPlane, error) {
	log, err := os.OpenFile(filepath.Join(m.state.dir, "serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the control plane's log: %w", err)
	}
	args := append([]string{
		"serve", "--config", m.state.config(), "--xds-address", XDSAddress(),
		"--debug-address", netip.AddrPortFrom(routerAddress, debugPort).String(),
	}, m.config.ServeArgs...)
	c := &controlPlane{cmd: exec.Command(m.config.Fairway, args...), log: log, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := m.router.Namespace.Start(c.cmd); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	m.state.record(c.cmd.Process.Pid)
	go c.wait(m)
	if err := c.ready(ctx, m); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *controlPlane) wait(m *Mesh) {
	err := c.cmd.Wait()
	c.mu.Lock()
	if !c.stopped && m.ctx.Err() == nil {
		m.config.Log.Error("the control plane ended", "err", err, "log", c.log.Name())
	}
	c.mu.Unlock()
	c.log.Close()
	close(c.ended)
}

// ready asks /readyz until it answers.
func (c *controlPlane) ready(ctx context.Context, m *Mesh) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		code, _, err := m.debug(ctx, "/readyz")
		if err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("the control plane ended at once: %s", tail(c.log.Name()))
		case <-ctx.Done():
			return fmt.Errorf("the control plane is not ready: %w: %s", ctx.Err(), tail(c.log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail is the last of a log, for an error.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "its log cannot be read"
	}
	return string(text[max(0, len(text)-600):])
}

// stop ends it gracefully, and after some seconds for good.
func (c *controlPlane) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	_ = c.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// debug asks the control plane's debug port.
func (m *Mesh) debug(ctx context.Context, path string) (code int, body []byte, err error) {
	client := http.Client{Transport: &http.Transport{DialContext: m.router.Namespace.Dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+netip.AddrPortFrom(routerAddress, debugPort).String()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, body, err
}

// Debug is the answer of a path of the control plane's debug port.
func (m *Mesh) Debug(ctx context.Context, path string) ([]byte, error) {
	code, body, err := m.debug(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("asking the control plane for %s: %w", path, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("the control plane answered %s with %d: %s", path, code, body)
	}
	return body, nil
}

// RestartControlPlane ends the control plane and starts it again.
func (m *Mesh) RestartControlPlane(ctx context.Context) error {
	m.restarting.Lock()
	defer m.restarting.Unlock()
	if m.control == nil {
		return errors.New("this local mesh runs no control plane")
	}
	m.control.stop()
	control, err := startControlPlane(ctx, m)
	if err != nil {
		return err
	}
	m.control = control
	return nil
}

// DebugURL opens the control plane's debug port on the machine, on a free port of
// 127.0.0.1, and says where.
func (m *Mesh) DebugURL(ctx context.Context) (string, error) { return m.NodeURL(ctx, debugPort) }
