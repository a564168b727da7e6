package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// soon is how long a change may take on its way through the API server.
const soon = 20 * time.Second

func even(answers map[string]int, a, b string, least float64) bool {
	n := float64(answers[a] + answers[b])
	return len(answers) == 2 && float64(answers[a]) > least*n && float64(answers[b]) > least*n
}

func testTutorialA(t *testing.T, s *suite) {
	s.follow(t, "Tutorial A: two versions behind one service")
}

// testTutorialsBAndD have the gateway's port for themselves, one after the other.
func testTutorialsBAndD(t *testing.T, s *suite) {
	t.Run("B", func(t *testing.T) { s.follow(t, "Tutorial B: a headless service behind the ingress gateway") })
	t.Run("D", func(t *testing.T) { s.follow(t, "Tutorial D: routing by user, and egress control") })
}

// outside is a person's curl on the machine.
func outside(ctx context.Context, url, host string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

// outsideWorld is a pod without Service or proxy, of whose name only the
// cluster's DNS knows.
func (s *suite) outsideWorld(t *testing.T) {
	t.Helper()
	s.kubectl(t, "create", "namespace", "outside")
	s.apply(t, "outside", `apiVersion: v1
kind: Pod
metadata: {name: gallery}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: app, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, gallery]}]
`)
	s.kubectl(t, "wait", "-n", "outside", "pod/gallery", "--for=condition=Ready", "--timeout=60s")
	ip := s.kubectl(t, "get", "pod", "-n", "outside", "gallery", "-o", "jsonpath={.status.podIP}")
	names := s.kubectl(t, "get", "configmap", "-n", "kube-system", "coredns", "-o", "jsonpath={.data.Corefile}")
	names = regexp.MustCompile(`(?s)hosts \{.*?\}\n\s*`).ReplaceAllString(names, "")
	names = strings.Replace(names, "ready", "hosts {\n  "+ip+" styles.example.com\n  fallthrough\n}\nready", 1)
	patch := fmt.Sprintf(`{"data":{"Corefile":%q}}`, names)
	s.kubectl(t, "patch", "configmap", "-n", "kube-system", "coredns", "--type=merge", "-p", patch)
	s.kubectl(t, "rollout", "restart", "-n", "kube-system", "deployment/coredns")
}
