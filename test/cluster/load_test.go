package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/test/cluster/load"
)

// traffic is requests that go on while something is done to the mesh: from a
// meshed pod through a Service, and from outside through the ingress gateway.
type traffic struct {
	suite     *suite
	namespace string
	outside   *load.Generator
	stop      context.CancelFunc
	done      sync.WaitGroup
}

const loadManifest = `apiVersion: v1
kind: Pod
metadata: {name: load, labels: {app: load}}
spec:
  nodeSelector: {kubernetes.io/hostname: %s}
  containers:
  - name: app
    image: ghcr.io/fairway-mesh/fairway:latest
    imagePullPolicy: IfNotPresent
    command: [/load, -url, %q]
`

// begin starts the traffic, and waits until both ways work. The pod runs on the
// first node; the others may be drained.
func (s *suite) begin(t *testing.T, namespace, url, host string) *traffic {
	t.Helper()
	l := &traffic{suite: s, namespace: namespace}
	at := s.nodePort(t, system, "istio-ingressgateway", 8080)
	eventually(t, 2*soon, "the gateway answers", func() (any, bool) {
		code, answer, err := outside(t.Context(), at, host)
		return fmt.Sprint(code, answer, err), code == 200
	})
	s.apply(t, namespace, fmt.Sprintf(loadManifest, s.Nodes[0], url))
	s.kubectl(t, "wait", "-n", namespace, "pod/load", "--for=condition=Ready", "--timeout=90s")
	eventually(t, soon, "the pod asks", func() (any, bool) {
		c := l.inside(t)
		return c, c.Requests > 100
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l.stop, l.outside = stop, load.New(load.Options{URL: at, Host: host, Workers: 4, Pause: 10 * time.Millisecond, Fresh: true})
	l.done.Go(func() { l.outside.Run(ctx) })
	return l
}

// inside is the count of the pod.
func (l *traffic) inside(t *testing.T) load.Count {
	t.Helper()
	var c load.Count
	out := strings.TrimSpace(l.suite.kubectl(t, "logs", "-n", l.namespace, "load", "-c", "app", "--tail=1"))
	if out != "" {
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			t.Fatalf("reading the count %q: %v", out, err)
		}
	}
	return c
}

// during does something while the traffic goes on, and says what failed
// meanwhile.
func (l *traffic) during(t *testing.T, what string, do func()) {
	t.Helper()
	t.Run(what, func(t *testing.T) {
		in, out := l.inside(t), l.outside.Count()
		began := time.Now()
		do()
		time.Sleep(time.Second) // what happens just after belongs to it
		inNow, outNow := l.inside(t), l.outside.Count()
		t.Logf("%s: %.1fs, %d requests from a pod, %d through the gateway", what, time.Since(began).Seconds(), inNow.Requests-in.Requests, outNow.Requests-out.Requests)
		if inNow.Requests <= in.Requests || outNow.Requests <= out.Requests {
			t.Error("nothing was asked meanwhile")
		}
		for _, c := range []struct {
			way         string
			before, now load.Count
		}{{"a pod", in, inNow}, {"outside", out, outNow}} {
			if n := c.now.Failed() - c.before.Failed(); n > 0 {
				t.Errorf("%d requests from %s failed: %v", n, c.way, since(c.before, c.now))
			}
		}
	})
}

// since are the failures that are new.
func since(before, now load.Count) map[string]int {
	out := map[string]int{}
	for k, n := range now.Failures {
		if n -= before.Failures[k]; n > 0 && len(out) < 12 {
			out[k] = n
		}
	}
	return out
}

// end stops the traffic.
func (l *traffic) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	if _, err := l.suite.Kubectl(context.WithoutCancel(t.Context()), "", "delete", "pod", "-n", l.namespace, "load", "--wait=false"); err != nil {
		t.Error(err)
	}
}
