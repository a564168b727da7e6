package cluster_test

import (
	"strings"
	"testing"
)

// testInstall is what the README says: one helm install.
func testInstall(t *testing.T, s *suite) {
	s.helm(t, "install", "fairway", s.chart, "-n", system, "--create-namespace", "--wait", "--timeout", "2m",
		"--set", "ingressGateway.service.type=NodePort") // nobody here gives addresses to load balancers
	s.rolledOut(t, system)
	out := s.kubectl(t, "get", "pods", "-n", system, "-l", "app=fairway", "-o", `jsonpath={range .items[*]}{.status.phase}{" "}{.spec.containers[0].securityContext.readOnlyRootFilesystem}{"\n"}{end}`)
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) != "Running true" {
			t.Errorf("a control plane's phase and read-only root: %q", line)
		}
	}
}
