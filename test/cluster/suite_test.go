package cluster_test

import (
	"context"
	"encoding/json"
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
)

// suite is a cluster with the mesh in it.
type suite struct {
	*cluster.Cluster
	client      *kubernetes.Clientset
	environment []string // of people at a terminal
	fairway     string   // the program
	next        string   // the chart of the new release
	load        *traffic // goes on during the parts that are under load
}

// part is a test of the suite.
type part struct {
	name string
	run  func(*testing.T, *suite)
}

// TestCluster does on a real cluster what people do with helm and kubectl. The
// mesh is installed by the first part and removed by the last. What does not
// touch the mesh itself goes on at the same time; the rest is under load.
func TestCluster(t *testing.T) {
	s := start(t)
	if !s.part(t, part{"Install", testInstall}) {
		t.Fatal("nothing else can be tested")
	}
	t.Run("Together", func(t *testing.T) {
		for _, p := range []part{{"TutorialA", testTutorialA}, {"Tutorials", testTutorialsBAndD}, {"MutualTLS", testMutualTLS}, {"Refused", testRefused}, {"Jobs", testJobs}, {"Wait", testWait}} {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				s.timed(t, p)
			})
		}
	})
	t.Run("UnderLoad", func(t *testing.T) {
		s.load = s.shop(t)
		for _, p := range []part{{"Replicas", testReplicas}, {"LifeOfPods", testLifeOfPods}, {"Upgrade", testUpgrade}, {"Rotation", testRotation}, {"Rollback", testRollback}} {
			s.part(t, p)
		}
	})
	s.part(t, part{"Uninstall", testUninstall})
}

func (s *suite) part(t *testing.T, p part) bool {
	return t.Run(p.name, func(t *testing.T) { s.timed(t, p) })
}

func (s *suite) timed(t *testing.T, p part) {
	began := time.Now()
	defer func() {
		t.Logf("%s took %.1fs", p.name, time.Since(began).Seconds())
		if t.Failed() {
			s.explain(t)
		}
	}()
	p.run(t, s)
}

// start makes the cluster; the test is skipped where none can run.
func start(t *testing.T) *suite {
	if testing.Short() {
		t.Skip("a cluster takes minutes")
	}
	ctx := t.Context()
	if err := cluster.Possible(ctx, *onKind); err != nil {
		if *onKind {
			t.Fatal(err) // it was asked for
		}
		t.Skip(err)
	}
	images, err := cluster.Images(ctx, release, os.Stderr)
	if err != nil {
		t.Skip("no images for a cluster: ", err)
	}
	next, err := cluster.Release(ctx, newRelease)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c, err := cluster.Start(ctx, cluster.Options{Nodes: 2, Images: append(images, next), Kind: *onKind, Progress: os.Stderr})
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
	if s.environment, err = c.Environment(ctx); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s.client = kubernetes.NewForConfigOrDie(config)
	if s.next, err = chart.Package(ctx, t.TempDir(), newRelease); err != nil {
		t.Fatal(err)
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

// rolledOut waits until the Deployments of a namespace are complete.
func (s *suite) rolledOut(t *testing.T, namespace string) {
	t.Helper()
	names := strings.Fields(s.kubectl(t, "get", "deployments", "-n", namespace, "-o", "name"))
	for _, n := range names {
		s.kubectl(t, "rollout", "status", "-n", namespace, n, "--timeout=180s")
	}
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
