package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// peerManifest is a server of four protocols; each kind of probe that the
// kubelet makes over the network is on one of its ports.
const peerManifest = `apiVersion: v1
kind: Service
metadata: {name: peer}
spec:
  selector: {app: peer}
  ports: [{name: http, port: 8080}, {name: http2, port: 8081, targetPort: 8080}, {name: tcp-greeting, port: 9000}, {name: grpc, port: 9001}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: peer}
spec:
  selector: {matchLabels: {app: peer}}
  template:
    metadata: {labels: {app: peer}}
    spec:
      containers:
      - name: app
        image: ghcr.io/fairway-mesh/fairway:latest
        imagePullPolicy: IfNotPresent
        command: [/peer, serve]
        startupProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
        livenessProbe: {grpc: {port: 9001}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}
      - name: beside
        image: ghcr.io/fairway-mesh/fairway:latest
        imagePullPolicy: IfNotPresent
        args: [sample, sleep]
        readinessProbe: {exec: {command: [/peer, grpc, "127.0.0.1:9001"]}, periodSeconds: 2}
`

// conversations are how a client in a namespace asks the peer, and what part of
// the answer is right.
var conversations = []struct{ protocol, port, answer string }{
	{"http1", "8080", ""}, {"http2", "8081", ""}, {"tcp", "9000", "welcome\nthanks"}, {"grpc", "9001", "SERVING"},
}

func (s *suite) converse(ctx context.Context, namespace, protocol, port string) (string, error) {
	return s.Kubectl(ctx, "", "exec", "-n", namespace, "deploy/sleep", "-c", "app", "--", "/peer", protocol, "peer.secure:"+port)
}

const peerAuthentication = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: %s}}
`

func testMutualTLS(t *testing.T, s *suite) {
	s.namespace(t, "secure", true)
	s.namespace(t, "plain", false)
	s.apply(t, "secure", peerManifest)
	s.apply(t, "secure", sample(t, "flaskapp/sleep.yaml"))
	s.apply(t, "plain", sample(t, "flaskapp/sleep.yaml"))
	s.rolledOut(t, "secure")
	s.rolledOut(t, "plain")
	s.ready(t, "secure")

	const meshed, unmeshed = "secure", "plain"
	const id = "URI=spiffe://cluster.local/ns/secure/sa/default"
	for _, mode := range []struct {
		name    string
		caller  string // what the server hears of a meshed client
		refused bool   // whether plaintext is
	}{
		{"", id, false}, // nobody asked for anything: PERMISSIVE
		{"DISABLE", "nobody", false},
		{"PERMISSIVE", id, false},
		{"STRICT", id, true},
	} {
		if mode.name != "" {
			s.apply(t, "secure", fmt.Sprintf(peerAuthentication, mode.name))
		}
		for _, c := range conversations {
			want := c.answer
			if want == "" {
				want = mode.caller
			}
			eventually(t, soon, mode.name+" from a meshed client by "+c.protocol, func() (any, bool) {
				answer, err := s.converse(t.Context(), meshed, c.protocol, c.port)
				return fmt.Sprint(answer, err), err == nil && strings.Contains(answer, want)
			})
			eventually(t, soon, mode.name+" from a plaintext client by "+c.protocol, func() (any, bool) {
				answer, err := s.converse(t.Context(), unmeshed, c.protocol, c.port)
				if mode.refused {
					return answer, err != nil
				}
				return fmt.Sprint(answer, err), err == nil && (c.answer == "" && strings.Contains(answer, "nobody") || c.answer != "" && strings.Contains(answer, c.answer))
			})
		}
	}
	// Under STRICT: the kubelet's probes are plaintext, and pods become ready.
	s.kubectl(t, "rollout", "restart", "-n", "secure", "deployment/peer")
	s.rolledOut(t, "secure")
	s.ready(t, "secure")
}

// ready says that every pod of a namespace has a proxy and is ready with it.
func (s *suite) ready(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, soon, "all pods are ready", func() (any, bool) {
		out := s.kubectl(t, "get", "pods", "-n", namespace)
		return out, allReady(out, 2)
	})
}
