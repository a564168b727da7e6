//go:build linux

package local_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

func readAndRemove(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	os.Remove(path)
	return string(text)
}

const nodePort = `
apiVersion: v1
kind: Service
metadata: {name: flaskapp}
spec:
  type: LoadBalancer
  selector: {app: flaskapp}
  ports: [{name: http, port: 8080, targetPort: web, nodePort: 30123}]
`

// TestNodePorts: two meshes ask for the same node port, and both are reached.
func TestNodePorts(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, nil)
			apply(t, m, app(version, 1)+"---"+nodePort)
			ready(t, m, "default")
			for name, f := range map[string]func(context.Context, string, string, int) (string, error){"node port": m.NodePortURL, "load balancer": m.LoadBalancerURL} {
				url, err := f(t.Context(), "default", "flaskapp", 8080)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := ask(t, http.DefaultClient, url+"/env/version"); err != nil || got != version {
					t.Errorf("%s at %s: %q, %v; want %s", name, url, got, err, version)
				}
			}
			if _, err := m.NodePortURL(within(t, time.Second), "default", "flaskapp", 9); err == nil {
				t.Error("a port that the Service does not have was found")
			}
		})
	}
}

// TestNames: names as programs inside pods see them, over IPv6 too, and hosts
// beyond the mesh.
func TestNames(t *testing.T) {
	m := newMesh(t, func(c *local.Config) {
		c.IPv6 = true
		c.Outside = []local.Outside{{Name: "styles.example.com", Address: netip.MustParseAddr("203.0.113.10"), Args: []string{"sample", "gallery"}}}
	})
	apply(t, m, app("v1", 1)+`---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: flaskapp}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: styles.example.com}
---`+sleeper)
	ready(t, m, "default")
	client, err := m.HTTP(t.Context(), "default/sleep")
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"http://flaskapp/env/version":                           "v1",
		"http://flaskapp.default/env/version":                   "v1",
		"http://flaskapp.default.svc.cluster.local/env/version": "v1",
		"http://six/env/version":                                "v1",
		"http://styles.example.com/style":                       `{"name":"Starry night","accent":"#1d4e89"}`,
		"http://alias/style":                                    `{"name":"Starry night","accent":"#1d4e89"}`,
	} {
		deadline := time.Now().Add(10 * time.Second) // nothing tells when a program outside of the mesh listens
		got, err := ask(t, client, url)
		for ; (err != nil || got != want) && time.Now().Before(deadline); got, err = ask(t, client, url) {
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", url, got, err, want)
		}
	}
	if got, err := ask(t, client, "http://nowhere/"); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("a name that does not exist: %q, %v", got, err)
	}
	// The sample's own resolver asks as well: it reads the pod's resolv.conf.
	if got, err := ask(t, client, "http://flaskapp/fetch?url=http://six.default/env/version"); err != nil || got != "v1" {
		t.Errorf("fetched by the pod itself: %q, %v", got, err)
	}
}

// TestKilled kills a mesh's program with SIGKILL: its processes end with it, and
// the next start removes its directory.
func TestKilled(t *testing.T) {
	localtest.Need(t)
	// This very test program, as another process that only holds a mesh.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHoldMesh$", "-test.v")
	cmd.Env = append(os.Environ(), "FAIRWAY_TEST_HOLD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if path, found := strings.CutPrefix(strings.TrimSpace(lines.Text()), "HOLDING "); found {
			dir = path
			break
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil || len(strings.Fields(string(text))) < 2 {
		t.Fatalf("no record of processes: %q, %v", text, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	poll(t, within(t, 10*time.Second), "its processes have ended", func() bool {
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			pid, _, _ := strings.Cut(line, " ")
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				return false
			}
		}
		return true
	})
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the killed mesh's directory went before anyone removed it: %v", err)
	}
	newMesh(t, nil)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("the next start left %s", dir)
	}
}

// TestHoldMesh is the other half of TestKilled.
func TestHoldMesh(t *testing.T) {
	if os.Getenv("FAIRWAY_TEST_HOLD") == "" {
		t.Skip("runs as a part of TestKilled")
	}
	m := newMesh(t, nil)
	apply(t, m, app("v1", 1)+"---"+sleeper)
	ready(t, m, "default")
	fmt.Println("HOLDING", m.Dir())
	select {}
}
