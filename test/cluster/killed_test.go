package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/test/cluster"
)

// victim tells the test program to start a cluster and to wait for its end.
const victim = "FAIRWAY_CLUSTER_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) == "" {
		os.Exit(m.Run())
	}
	c, err := cluster.Start(context.Background(), cluster.Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(c.Kubeconfig)
	time.Sleep(time.Hour)
}

// TestKilled starts two clusters at a time and kills the maker of one: the
// other goes on, and what is left is removed by the next start.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("two clusters take half a minute")
	}
	first, err := cluster.Start(t.Context(), cluster.Options{})
	if errors.Is(err, cluster.ErrImpossible) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	dir := startVictim(t)
	if dir == filepath.Dir(first.Kubeconfig) {
		t.Fatal("two clusters share a directory: ", dir)
	}
	if left := leftovers(t, dir); len(left) < 3 {
		t.Fatalf("a killed run left only %v: the test looks in the wrong places", left)
	}
	third, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := first.Kubectl(t.Context(), "", "rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s"); err != nil {
		t.Errorf("the first cluster was disturbed: %v %s", err, out)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, filepath.Dir(first.Kubeconfig)); len(left) > 0 {
		t.Errorf("left behind after Close: %v", left)
	}
}

// startVictim has another process start a cluster, kills it and returns the
// cluster's directory.
func startVictim(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/") {
		t.Fatalf("the other cluster: %v %s", err, line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return filepath.Dir(strings.TrimSpace(line))
}

// leftovers are the files, mounts, processes, devices, namespaces and control
// groups of the cluster in a directory.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	if _, err := os.Stat(dir); err == nil {
		out = append(out, dir)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir+"/") {
			out = append(out, "mount "+line)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), dir+"/") {
			out = append(out, "process "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	name := "fwc" + filepath.Base(dir)
	notes, _ := filepath.Glob("/var/lib/cni/results/" + name + "-*")
	out = append(out, notes...)
	for _, pattern := range []string{"/sys/class/net/" + name, "/sys/class/net/" + name + "-*", "/var/run/netns/" + name + "-*", "/sys/fs/cgroup/*/" + name + "-*"} {
		found, _ := filepath.Glob(pattern)
		out = append(out, found...)
	}
	return out
}
