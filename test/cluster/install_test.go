package cluster_test

import (
	"strings"
	"testing"
)

// testInstall is what the README says.
func testInstall(t *testing.T, s *suite) {
	s.outsideWorld(t) // before anybody asks the cluster's DNS
	s.follow(t, "Deployed in Kubernetes")
	s.kubectl(t, "rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s")
	out := s.kubectl(t, "get", "pods", "-n", system, "-l", "app=fairway", "-o", `jsonpath={range .items[*]}{.status.phase}{" "}{.spec.containers[0].securityContext.readOnlyRootFilesystem}{"\n"}{end}`)
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) != "Running true" {
			t.Errorf("a control plane's phase and read-only root: %q", line)
		}
	}
}
