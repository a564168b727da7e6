package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/samples"
	"github.com/fairway-mesh/fairway/test/chart"
	"github.com/fairway-mesh/fairway/test/cluster"
)

var onKind = flag.Bool("kind", false, "run on kind, which needs a container engine, not in network namespaces")

// The mesh's namespace, and two releases that differ in their version.
const (
	system     = "istio-system"
	release    = "v0.1.0"
	newRelease = "v0.2.0"
	repository = "ghcr.io/fairway-mesh/fairway:"
)

// suite is a cluster with the mesh in it.
type suite struct {
	*cluster.Cluster
	client  *kubernetes.Clientset
	fairway string // the program
	chart   string // packages of the releases
	next    string
}

// TestCluster does on a real cluster what people do with helm and kubectl. Its
// parts are run in order: the mesh is installed by the first and removed by the
// last.
func TestCluster(t *testing.T) {
	s := start(t)
	parts := []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Install", testInstall},
		{"TutorialA", testTutorialA},
		{"TutorialB", testTutorialB},
		{"TutorialD", testTutorialD},
		{"MutualTLS", testMutualTLS},
		{"Refused", testRefused},
		{"ControlPlaneReplicas", testReplicas},
		{"LifeOfPods", testLifeOfPods},
		{"Release", testRelease},
		{"Uninstall", testUninstall},
	}
	for i, p := range parts {
		began := time.Now()
		ok := t.Run(p.name, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					s.explain(t)
				}
			}()
			p.run(t, s)
		})
		t.Logf("%s took %.1fs", p.name, time.Since(began).Seconds())
		if i == 0 && !ok {
			t.Fatal("nothing else can be tested")
		}
	}
}

// start makes the cluster; the test is skipped where none can run.
func start(t *testing.T) *suite {
	if testing.Short() {
		t.Skip("a cluster takes minutes")
	}
	ctx := t.Context()
	images, err := cluster.Images(ctx, os.Stderr)
	if err != nil {
		t.Skip("no images for a cluster: ", err)
	}
	images[0].Aliases = []string{repository + release, repository + newRelease}
	began := time.Now()
	c, err := cluster.Start(ctx, cluster.Options{Nodes: 2, Images: images, Kind: *onKind, Progress: os.Stderr})
	if errors.Is(err, cluster.ErrImpossible) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("the cluster was ready after %.1fs", time.Since(began).Seconds())
	s := &suite{Cluster: c, fairway: images[0].Files["/fairway"]}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s.client = kubernetes.NewForConfigOrDie(config)
	for version, file := range map[string]*string{release: &s.chart, newRelease: &s.next} {
		if *file, err = chart.Package(ctx, t.TempDir(), version); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// kubectl runs it, and ends the test when it fails.
func (s *suite) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), "", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *suite) helm(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := s.Helm(t.Context(), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// namespace makes a namespace, removed with the test.
func (s *suite) namespace(t *testing.T, name string, injected bool) {
	t.Helper()
	s.kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		if _, err := s.Kubectl(context.WithoutCancel(t.Context()), "", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	if injected {
		s.kubectl(t, "label", "namespace", name, "istio-injection=enabled")
	}
}

// apply applies a manifest.
func (s *suite) apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	if out, err := s.Kubectl(t.Context(), manifest, "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
}

// sample is a manifest of the tutorials.
func sample(t *testing.T, name string) string {
	t.Helper()
	b, err := samples.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// remove deletes what a manifest names, in the background.
func (s *suite) remove(t *testing.T, namespace string, manifests ...string) {
	t.Helper()
	for _, m := range manifests {
		if _, err := s.Kubectl(t.Context(), m, "delete", "-n", namespace, "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			t.Error(err)
		}
	}
}

// rolledOut waits until the Deployments of a namespace are complete.
func (s *suite) rolledOut(t *testing.T, namespace string) {
	t.Helper()
	names := strings.Fields(s.kubectl(t, "get", "deployments", "-n", namespace, "-o", "name"))
	for _, n := range names {
		s.kubectl(t, "rollout", "status", "-n", namespace, n, "--timeout=180s")
	}
}

// ask asks from inside the pod of the Deployment sleep and counts the answers.
func (s *suite) ask(ctx context.Context, namespace string, times int, arguments ...string) (map[string]int, error) {
	command := append([]string{"exec", "-n", namespace, "deploy/sleep", "-c", "app", "--", "fairway", "sample", "get", "-n", fmt.Sprint(times)}, arguments...)
	out, err := s.Kubectl(ctx, "", command...)
	if err != nil {
		return nil, err
	}
	answers := map[string]int{}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if times == 1 {
			answers[line]++
			continue
		}
		var n int
		if _, err := fmt.Sscan(line, &n); err == nil {
			_, text, _ := strings.Cut(line, "  ")
			answers[strings.TrimSpace(text)] += n
		}
	}
	return answers, nil
}

// only says whether there is no answer but one.
func only(answers map[string]int, want string) bool { return len(answers) == 1 && answers[want] > 0 }

// eventually polls until a condition holds; what it saw last is in the failure.
func eventually(t *testing.T, patience time.Duration, what string, condition func() (seen any, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		seen, ok := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: not within %v: %v", what, patience, seen)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// nodePort is the URL of a port of a Service, from outside.
func (s *suite) nodePort(t *testing.T, namespace, service string, port int) string {
	t.Helper()
	out := s.kubectl(t, "get", "service", "-n", namespace, service, "-o", "json")
	var got struct {
		Spec struct {
			Ports []struct{ Port, NodePort int }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Spec.Ports {
		if p.Port == port {
			return fmt.Sprintf("http://%s:%d", s.Address(0), p.NodePort)
		}
	}
	t.Fatalf("Service %s has no port %d", service, port)
	return ""
}

// explain prints what helps to understand a failure.
func (s *suite) explain(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, command := range []string{
		"get pods -A -o wide", "get events -A --field-selector type=Warning --sort-by=.lastTimestamp",
		"logs -n istio-system -l app=fairway --prefix --tail=30", "logs -n istio-system -l istio=ingressgateway --prefix --tail=15",
	} {
		out, err := s.Kubectl(ctx, "", strings.Fields(command)...)
		if lines := strings.Split(out, "\n"); len(lines) > 60 {
			out = strings.Join(lines[len(lines)-60:], "\n")
		}
		t.Logf("kubectl %s\n%s%v", command, out, err)
	}
}
