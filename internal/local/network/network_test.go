//go:build linux

package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func needRoot(t *testing.T) {
	t.Helper()
	ns, err := NewNamespace()
	if err != nil {
		t.Skipf("this machine does not allow network namespaces: %v", err)
	}
	ns.Close()
}

func newRouter(t *testing.T) *Router {
	t.Helper()
	needRoot(t)
	r, err := NewRouter(addr("10.244.0.1"), addr("fd00:244::1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// pod connects a namespace in which a server tells its name on port 80.
func pod(t *testing.T, r *Router, name string, addresses ...netip.Addr) *Wire {
	t.Helper()
	w, err := r.Connect(addresses...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	for _, a := range addresses {
		l, err := w.Listen("tcp", netip.AddrPortFrom(a, 80).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "%s saw %s", name, from)
				c.Close()
			}
		}()
	}
	return w
}

func ask(t *testing.T, n *Namespace, address string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	c, err := n.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	body, err := io.ReadAll(c)
	return string(body), err
}

func TestPodsReachEachOtherAndTheRouter(t *testing.T) {
	r := newRouter(t)
	a := pod(t, r, "a", addr("10.244.0.2"), addr("fd00:244::2"))
	b := pod(t, r, "b", addr("10.244.0.3"), addr("fd00:244::3"))
	for _, c := range []struct {
		from       *Namespace
		to, answer string
	}{
		{a.Namespace, "10.244.0.3:80", "b saw 10.244.0.2"},
		{b.Namespace, "10.244.0.2:80", "a saw 10.244.0.3"},
		{a.Namespace, "[fd00:244::3]:80", "b saw fd00:244::2"},
		{r.Namespace, "10.244.0.3:80", "b saw 10.244.0.1"},
		{r.Namespace, "[fd00:244::3]:80", "b saw fd00:244::1"},
	} {
		if got, err := ask(t, c.from, c.to); err != nil || got != c.answer {
			t.Errorf("%s: got %q, %v; want %q", c.to, got, err, c.answer)
		}
	}
}

func TestServicesShareConnections(t *testing.T) {
	r := newRouter(t)
	client := pod(t, r, "client", addr("10.244.0.2"), addr("fd00:244::2"))
	pod(t, r, "b", addr("10.244.0.3"), addr("fd00:244::3"))
	pod(t, r, "c", addr("10.244.0.4"), addr("fd00:244::4"))
	at := netip.MustParseAddrPort
	err := r.SetServices([]Service{
		{Address: at("10.96.0.20:8080"), Backends: []netip.AddrPort{at("10.244.0.3:80"), at("10.244.0.4:80")}},
		{Address: at("10.96.0.21:80"), Backends: []netip.AddrPort{at("10.244.0.2:80")}},
		{Address: at("[fd00:96::20]:8080"), Backends: []netip.AddrPort{at("[fd00:244::4]:80")}},
		{Address: at("10.96.0.22:80")},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 60 {
		got, err := ask(t, client.Namespace, "10.96.0.20:8080")
		if err != nil {
			t.Fatal(err)
		}
		seen[got]++
	}
	if seen["b saw 10.244.0.2"] < 10 || seen["c saw 10.244.0.2"] < 10 || len(seen) != 2 {
		t.Errorf("60 connections went to %v; want both backends, from the client's address", seen)
	}
	if got, err := ask(t, client.Namespace, "10.96.0.21:80"); err != nil || got != "client saw 10.244.0.1" {
		t.Errorf("a pod through its own service: %q, %v", got, err)
	}
	if got, err := ask(t, client.Namespace, "[fd00:96::20]:8080"); err != nil || got != "c saw fd00:244::2" {
		t.Errorf("over IPv6: %q, %v", got, err)
	}
	if got, err := ask(t, client.Namespace, "10.96.0.22:80"); err == nil {
		t.Errorf("a service without backends answered %q", got)
	}
}

func TestCloseKillsWhatRunsInside(t *testing.T) {
	r := newRouter(t)
	w, err := r.Connect(addr("10.244.0.2"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "600")
	if err := w.Start(cmd); err != nil {
		t.Fatal(err)
	}
	inside, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	outside, _ := os.Readlink("/proc/self/ns/net")
	if inside == "" || inside == outside {
		t.Errorf("the command runs in %q, this test in %q", inside, outside)
	}
	w.Close()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the command outlived its namespace")
		cmd.Process.Kill()
	}
}
