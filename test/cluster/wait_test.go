package cluster_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// testWait waits for rules from a person's machine, which reaches the control plane's
// replicas through the API server and a kubelet.
func testWait(t *testing.T, s *suite) {
	const namespace = "waiting"
	s.namespace(t, namespace, true)
	s.apply(t, namespace, sample(t, "flaskapp/flaskapp.yaml"))
	s.apply(t, namespace, sample(t, "flaskapp/sleep.yaml"))
	s.rolledOut(t, namespace)
	for _, rule := range []string{"flaskapp/destination-rule.yaml", "flaskapp/virtual-service-v2.yaml", "flaskapp/virtual-service-header.yaml"} {
		text := sample(t, rule)
		s.apply(t, namespace, text)
		cmd := exec.CommandContext(t.Context(), s.fairway, "wait", "--kubeconfig", s.Kubeconfig, "-n", namespace, "-f", "-", "--timeout", "60s")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "accepted by all that it concerns") {
			t.Errorf("%s: %v\n%s", rule, err, out)
		}
		t.Logf("%s", out)
	}
	replicas := strings.Count(s.kubectl(t, "get", "pods", "-n", system, "-l", "app=fairway", "-o", "name"), "pod/")
	out, err := exec.CommandContext(t.Context(), s.fairway, "wait", "--kubeconfig", s.Kubeconfig, "-n", namespace, "vs/flaskapp").CombinedOutput()
	if err != nil || replicas < 2 || !strings.Contains(string(out), fmt.Sprintf("at %d replicas", replicas)) {
		t.Errorf("with %d replicas: %v\n%s", replicas, err, out)
	}

	// One command tells of the proxies of all replicas.
	out, err = exec.CommandContext(t.Context(), s.fairway, "status", "--kubeconfig", s.Kubeconfig).CombinedOutput()
	pods := strings.Fields(s.kubectl(t, "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}"))
	for _, pod := range pods {
		if !strings.Contains(string(out), pod+"."+namespace) {
			t.Errorf("%s is not listed: %v\n%s", pod, err, out)
		}
		if text, err := exec.CommandContext(t.Context(), s.fairway, "config", pod+"."+namespace, "clusters", "--kubeconfig", s.Kubeconfig).CombinedOutput(); err != nil || !strings.Contains(string(text), "flaskapp") {
			t.Errorf("config of %s: %v\n%s", pod, err, text)
		}
	}
}
