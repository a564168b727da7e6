package bootstrap_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

const (
	podIP4 = "10.97.0.2"
	podIP6 = "fd97::2"
)

// pod is a network namespace with the addresses of a pod, and traffic capture.
type pod struct {
	t  *testing.T
	ns netns.NsHandle
	ip string // what the kubelet calls its address
}

func newPod(t *testing.T) *pod {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	p := &pod{t: t, ip: podIP4}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var err error
		p.ns, err = netns.New() // nameless: gone with its last handle
		made <- err
	}()
	if err := <-made; err != nil {
		t.Skipf("cannot make a network namespace here: %v", err)
	}
	t.Cleanup(func() { p.ns.Close() })
	p.inside(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		for _, a := range []string{podIP4 + "/32", podIP6 + "/128"} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if addr.IP.To4() == nil {
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return err
			}
		}
		return redirect.Apply(redirect.Default())
	})
	return p
}

// inside runs f on a thread in the pod's network namespace.
func (p *pod) inside(f func() error) {
	p.t.Helper()
	if err := p.thread(f); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) thread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := netns.Set(p.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func (p *pod) listen(address string) net.Listener {
	p.t.Helper()
	var l net.Listener
	p.inside(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	p.t.Cleanup(func() { l.Close() })
	return l
}

// client speaks HTTP from inside the pod, a connection per request unless kept.
func (p *pod) client(keep bool) *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: !keep,
			DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
				err = p.thread(func() error {
					c, err = net.DialTimeout(network, address, 3*time.Second)
					return err
				})
				return c, err
			},
		},
	}
}

// get returns status and body, or 0 and the error.
func (p *pod) get(url string, header ...string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
	}
	response, err := p.client(false).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// eventually polls until f says "" and fails with its last words otherwise.
func (p *pod) eventually(f func() string) {
	p.t.Helper()
	var last string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = f(); last == "" {
			return
		}
	}
	p.t.Fatal(last)
}

func (p *pod) ready(ip string) {
	p.t.Helper()
	p.eventually(func() string {
		if status, body := p.get(url(ip, bootstrap.ReadinessPort, bootstrap.ReadinessPath)); status != 200 {
			return fmt.Sprintf("not ready: %d %s", status, body)
		}
		return ""
	})
}

func url(ip string, port int, path string) string {
	return "http://" + net.JoinHostPort(ip, fmt.Sprint(port)) + path
}

// start runs Envoy with the configuration as the kubelet would, as the proxy's group.
func (p *pod) start(c bootstrap.Config) {
	p.t.Helper()
	binary := envoytest.Path(p.t)
	line, err := bootstrap.JSON(c)
	if err != nil {
		p.t.Fatal(err)
	}
	line = bootstrap.Expand(line, func(name string) (string, bool) {
		value, ok := map[string]string{"POD_NAME": "web-1", "POD_NAMESPACE": "shop", "INSTANCE_IP": p.ip, "INSTANCE_IPS": podIP4 + "," + podIP6}[name]
		return value, ok
	})
	log, err := os.Create(filepath.Join(p.t.TempDir(), "envoy.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"--config-yaml", line, "--concurrency", "1", "--log-level", "warning"}, bootstrap.Args()...)...)
	cmd.Stdout, cmd.Stderr = log, log
	// The group tells capture that this is the proxy. Its user stays, so that a
	// binary below a private directory can be run.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Gid: redirect.DefaultProxyGID},
	}
	p.inside(cmd.Start)
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		text, _ := os.ReadFile(log.Name())
		log.Close()
		if words := strings.TrimSpace(string(text)); p.t.Failed() && words != "" {
			p.t.Logf("Envoy said:\n%s", words)
		}
	})
}
