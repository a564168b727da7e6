//go:build linux

package local_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
)

// TestRollingReplacement changes a Deployment under load: new pods come up before
// old ones go, and no request fails.
func TestRollingReplacement(t *testing.T) {
	m := newMesh(t, nil)
	apply(t, m, app("v1", 2)+"---"+sleeper)
	ready(t, m, "default")
	before := names(t, m, "app=flaskapp")
	client, err := m.HTTP(t.Context(), "default/sleep")
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(*http.Transport).DisableKeepAlives = true
	stop, failures := make(chan struct{}), atomic.Int64{}
	var load sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got, err := ask(t, client, "http://flaskapp/env/version"); err != nil || got != "v1" && got != "v2" {
				t.Logf("%q, %v", got, err)
				failures.Add(1)
			}
		}
	})
	apply(t, m, app("v2", 2))
	ready(t, m, "default")
	close(stop)
	load.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d requests failed while pods were replaced", failures.Load())
	}
	if got, err := ask(t, client, "http://flaskapp/env/version"); err != nil || got != "v2" {
		t.Errorf("afterwards: %q, %v; want v2", got, err)
	}
	for _, name := range names(t, m, "app=flaskapp") {
		if strings.Contains(strings.Join(before, " "), name) {
			t.Errorf("pod %s is still the old one", name)
		}
	}
	if err := m.Scale(t.Context(), "Deployment", "default", "flaskapp", 3); err != nil {
		t.Fatal(err)
	}
	ready(t, m, "default")
	if n := len(names(t, m, "app=flaskapp")); n != 3 {
		t.Errorf("after scaling to 3 there are %d pods", n)
	}
	if err := m.Delete(t.Context(), []byte(app("v2", 3))); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitGone(within(t, 20*time.Second), "default", "app=flaskapp"); err != nil {
		t.Error(err)
	}
}

func names(t *testing.T, m *local.Mesh, selector string) (out []string) {
	t.Helper()
	pods, err := m.Pods("default", selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

// script is a pod that runs a shell script.
func script(name, text, more string) string {
	return `
apiVersion: v1
kind: Pod
metadata: {name: ` + name + `, labels: {app: ` + name + `}}
spec:
  containers:
  - name: app
    image: shell
    command: [sh, -c, ` + "'" + text + "'" + `]
    volumeMounts: [{name: shared, mountPath: /srv/not/there}, {name: shared, mountPath: /fairway-top/dir}]
` + more + `
  volumes: [{name: shared, emptyDir: {}}]
`
}

// TestGracefulEnd follows a pod to its end: deletionTimestamp first, then the
// preStop hook, then SIGTERM, and it may finish what it does.
func TestGracefulEnd(t *testing.T) {
	m := newMesh(t, nil)
	apply(t, m, script("calm", `trap "sleep 0.3; echo term >> /srv/not/there/log; exit 0" TERM; echo up > /srv/not/there/log; while true; do sleep 0.05; done`, `
    readinessProbe: {exec: {command: [test, -f, /srv/not/there/log]}}
    lifecycle: {preStop: {exec: {command: [sh, -c, "echo prestop >> /srv/not/there/log; cp /srv/not/there/log /tmp/fairway-local-test-$HOSTNAME; chmod 666 /tmp/fairway-local-test-$HOSTNAME"]}}}`))
	apply(t, m, script("stubborn", `trap "" TERM; while true; do sleep 0.05; done`, `
  terminationGracePeriodSeconds: 1`))
	ready(t, m, "default")
	out, err := m.Exec(t.Context(), "default/calm", "sh", "-c", "id -u; hostname; cat /fairway-top/dir/log; ls /run")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out); len(got) < 3 || got[0] != "65534" || got[1] != "calm" || got[2] != "up" {
		t.Errorf("inside the pod: %q", out)
	}
	for _, name := range []string{"calm", "stubborn"} {
		began := time.Now()
		if err := m.DeletePod("default/"+name, -1); err != nil {
			t.Fatal(err)
		}
		pods, _ := m.Pods("default", "app="+name)
		if len(pods) != 1 || !pods[0].Terminating {
			t.Errorf("%s: deletionTimestamp is not set at once", name)
		}
		if err := m.WaitGone(within(t, 20*time.Second), "default", "app="+name); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if name == "calm" && took < 300*time.Millisecond || name == "stubborn" && took < time.Second {
			t.Errorf("%s was gone after %s: it was not given its time", name, took)
		}
	}
	if text := readAndRemove(t, "/tmp/fairway-local-test-calm"); text != "up\nprestop\n" {
		t.Errorf("the preStop hook saw %q; want it to run before SIGTERM", text)
	}
}

// TestRestart: a container that ends is started again, with a growing pause; one
// whose liveness probe fails is replaced.
func TestRestart(t *testing.T) {
	m := newMesh(t, nil)
	apply(t, m, script("crash", "sleep 0.1; exit 3", ""))
	apply(t, m, script("stuck", `echo x >> /srv/not/there/runs; touch /srv/not/there/fine; while true; do sleep 0.05; done`, `
    livenessProbe: {exec: {command: [test, -f, /srv/not/there/fine]}, periodSeconds: 1, failureThreshold: 1}`))
	deadline := within(t, 20*time.Second)
	restarts := func(name string) int {
		pods, _ := m.Pods("default", "app="+name)
		if len(pods) != 1 {
			return 0
		}
		return pods[0].Restarts
	}
	poll(t, deadline, "crash restarts", func() bool { return restarts("crash") >= 2 })
	pods, _ := m.Pods("default", "app=crash")
	if s := pods[0].Pod.Status.ContainerStatuses[0]; s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 3 {
		t.Errorf("the exit code is not in the status: %+v", s)
	}
	ready := func() bool { p, _ := m.Pods("default", "app=stuck"); return len(p) == 1 && p[0].Ready == 1 }
	poll(t, deadline, "stuck is ready", ready)
	time.Sleep(300 * time.Millisecond) // let the liveness probe succeed once
	if _, err := m.Exec(deadline, "default/stuck", "rm", "/srv/not/there/fine"); err != nil {
		t.Fatal(err)
	}
	poll(t, deadline, "stuck is restarted", func() bool { return restarts("stuck") == 1 && ready() })
}

func poll(t *testing.T, ctx context.Context, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestOtherWorkloads: ordered pods of a StatefulSet with names in DNS, one pod per
// node of a DaemonSet, a Job that completes after a failure.
func TestOtherWorkloads(t *testing.T) {
	m := newMesh(t, func(c *local.Config) {
		c.Nodes = []local.Node{{Name: "one", Labels: map[string]string{"zone": "a"}}, {Name: "two"}}
	})
	const container = `{containers: [{name: app, image: fairway, args: [sample, kubia, --port, "80"], readinessProbe: {httpGet: {port: 80, path: /healthz}}}]}`
	apply(t, m, sleeper+`
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: `+container+`}
---
apiVersion: extensions/v1beta1
kind: DaemonSet
metadata: {name: agent}
spec:
  template: {metadata: {labels: {app: agent}}, spec: `+container+`}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    metadata: {labels: {app: once}}
    spec:
      restartPolicy: Never
      containers: [{name: app, image: shell, command: [sh, -c, "test -e /tmp/fairway-local-test-once || { touch /tmp/fairway-local-test-once; exit 1; }"]}]
`)
	t.Cleanup(func() { readAndRemove(t, "/tmp/fairway-local-test-once") })
	ready(t, m, "default")
	if got := names(t, m, "app=db"); strings.Join(got, " ") != "db-0 db-1" {
		t.Errorf("the StatefulSet has pods %v", got)
	}
	agents, _ := m.Pods("default", "app=agent")
	if len(agents) != 2 || agents[0].Node == agents[1].Node {
		t.Errorf("the DaemonSet's pods: %+v", agents)
	}
	jobs, _ := m.Pods("default", "app=once")
	phases := map[string]int{}
	for _, p := range jobs {
		phases[p.Phase]++
	}
	if phases["Failed"] != 1 || phases["Succeeded"] != 1 {
		t.Errorf("the Job's pods: %v, want one failed and one succeeded", phases)
	}
	client, err := m.HTTP(t.Context(), "default/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, client, "http://db-1.db/"); err != nil || got != "You've hit v1 db-1" {
		t.Errorf("by a pod's own name: %q, %v", got, err)
	}
}

// TestRefused: what cannot run says why, and disturbs nothing else.
func TestRefused(t *testing.T) {
	m := newMesh(t, nil)
	for name, c := range map[string]struct{ manifest, says string }{
		"no kind":      {"metadata: {name: x}", "kind or apiVersion is missing"},
		"no name":      {"{apiVersion: v1, kind: Service}", "metadata.name is missing"},
		"broken":       {"a: [", "document 1"},
		"no namespace": {"{apiVersion: v1, kind: Service, metadata: {name: x, namespace: gone}}", "namespace gone does not exist"},
		"wrong type":   {"{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: 5}}", "Service default/x"},
		"no container": {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {template: {spec: {}}}}", "at least one container"},
	} {
		if err := m.Apply(t.Context(), []byte(c.manifest)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	apply(t, m, `{apiVersion: v1, kind: Pod, metadata: {name: strange}, spec: {containers: [{name: app, image: nginx}]}}`)
	poll(t, within(t, 10*time.Second), "the pod says that its image is not known", func() bool {
		pods, _ := m.Pods("default", "")
		s := pods[0].Pod.Status
		return len(s.ContainerStatuses) == 1 && s.ContainerStatuses[0].State.Waiting != nil && strings.Contains(s.ContainerStatuses[0].State.Waiting.Message, "pulls no images")
	})
}
