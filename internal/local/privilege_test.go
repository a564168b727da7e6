//go:build linux

package local_test

import (
	"strings"
	"testing"
)

// TestPrivileges: containers have the user and the capabilities that their
// manifest asks for, and no other; the machine stays as it is.
func TestPrivileges(t *testing.T) {
	m := newMesh(t, nil)
	apply(t, m, `
apiVersion: v1
kind: Pod
metadata: {name: who}
spec:
  securityContext: {runAsUser: 1234, runAsGroup: 99}
  volumes: [{name: scratch, emptyDir: {}}]
  initContainers:
  - name: admin
    image: shell
    command: [sh, -c, "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status > /scratch/admin; id -u >> /scratch/admin"]
    securityContext: {runAsUser: 0, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_ADMIN, DAC_OVERRIDE]}}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  containers:
  - name: app
    image: shell
    command: [sh, -c, "while true; do sleep 0.1; done"]
    volumeMounts: [{name: scratch, mountPath: /scratch, readOnly: true}]
  - name: other
    image: shell
    command: [sh, -c, "while true; do sleep 0.1; done"]
    securityContext: {runAsUser: 77}
`)
	ready(t, m, "default")
	run := func(container string, command ...string) string {
		out, err := m.ExecIn(t.Context(), "default/who", container, command...)
		if err != nil {
			t.Error(err)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	// NET_ADMIN is bit 12, DAC_OVERRIDE bit 1.
	if got := run("app", "cat", "/scratch/admin"); got != "CapEff: 0000000000001002 CapBnd: 0000000000001002 NoNewPrivs: 1 0" {
		t.Errorf("the init container had %q", got)
	}
	if got := run("app", "sh", "-c", "id -u; id -g; id -G; grep CapEff /proc/self/status"); got != "1234 99 99 CapEff: 0000000000000000" {
		t.Errorf("the container has %q", got)
	}
	if got := run("other", "id", "-u"); got != "77" {
		t.Errorf("the other container is user %s", got)
	}
	if _, err := m.ExecIn(t.Context(), "default/who", "app", "sh", "-c", "echo x > /scratch/y"); err == nil {
		t.Error("a read-only mount was written")
	}
	if _, err := m.ExecIn(t.Context(), "default/who", "nobody", "true"); err == nil || !strings.Contains(err.Error(), "no container") {
		t.Errorf("a container that does not exist: %v", err)
	}
}
