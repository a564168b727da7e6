package cluster_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// jobManifest asks a meshed Service under STRICT, before and beside which it has
// an init container that does so too: a native sidecar carries both.
const jobManifest = `apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  backoffLimit: 3
  template:
    metadata: {labels: {app: NAME}}
    spec:
      restartPolicy: Never
      initContainers:
      - {name: before, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, get, "http://flaskapp/env/version"]}
      containers:
      - {name: app, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, get, -n, "20", "http://flaskapp/env/version"]}
`

// testJobs runs Jobs that the webhook and that `fairway inject` gave a proxy: they
// come to an end, and have asked through it.
func testJobs(t *testing.T, s *suite) {
	s.namespace(t, "jobs", true)
	s.apply(t, "jobs", sample(t, "flaskapp/flaskapp.yaml"))
	s.apply(t, "jobs", strings.Replace(peerAuthentication, "%s", "STRICT", 1))
	s.rolledOut(t, "jobs")
	s.apply(t, "jobs", strings.ReplaceAll(jobManifest, "NAME", "by-webhook"))
	s.apply(t, "jobs", s.inject(t, strings.ReplaceAll(jobManifest, "NAME", "by-hand")))
	s.kubectl(t, "wait", "-n", "jobs", "job/by-webhook", "job/by-hand", "--for=condition=Complete", "--timeout=120s")
	var specs []string
	for _, name := range []string{"by-webhook", "by-hand"} {
		specs = append(specs, s.kubectl(t, "get", "pods", "-n", "jobs", "-l", "app="+name, "-o",
			`jsonpath={range .items[0].spec.initContainers[*]}{.name} {.image} {.restartPolicy} {.securityContext}{"\n"}{end}`))
	}
	if specs[0] != specs[1] || !strings.Contains(specs[0], "istio-proxy") || !strings.Contains(specs[0], "Always") {
		t.Errorf("the webhook and `fairway inject` differ:\n%s\n%s", specs[0], specs[1])
	}
}

// inject is `fairway inject -f -`, with the settings of the installed mesh.
func (s *suite) inject(t *testing.T, manifest string) string {
	t.Helper()
	params := filepath.Join(t.TempDir(), "injection.yaml")
	settings := s.kubectl(t, "get", "configmap", "-n", system, "fairway-injection", "-o", `jsonpath={.data.injection\.yaml}`)
	if err := os.WriteFile(params, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), s.fairway, "inject", "--params", params, "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fairway inject: %v: %s", err, said.String())
	}
	return string(out)
}
