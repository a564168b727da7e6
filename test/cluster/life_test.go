package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// shop is a meshed application behind the ingress gateway, in its namespace.
const shopManifest = `apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: app
        image: ghcr.io/fairway-mesh/fairway:latest
        imagePullPolicy: IfNotPresent
        args: [sample, kubia]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: shop}
spec: {minAvailable: 1, selector: {matchLabels: {app: shop}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 20}}}} # new connections, and handshakes, all the time
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http: [{route: [{destination: {host: shop, port: {number: 8080}}}]}]
`

// shopping is the namespace of the application that is under load.
const shopping = "shopping"

// shop deploys the application, STRICT, and lets traffic begin.
func (s *suite) shop(t *testing.T) *traffic {
	t.Helper()
	s.namespace(t, shopping, true)
	s.apply(t, shopping, shopManifest)
	s.apply(t, shopping, fmt.Sprintf(peerAuthentication, "STRICT"))
	s.rolledOut(t, shopping)
	l := s.begin(t, shopping, "http://shop:8080/", "shop.example")
	t.Cleanup(func() { l.end(t) })
	return l
}

// restart rolls a Deployment.
func (s *suite) restart(t *testing.T, namespace, deployment string) {
	t.Helper()
	s.kubectl(t, "rollout", "restart", "-n", namespace, "deployment/"+deployment)
	s.kubectl(t, "rollout", "status", "-n", namespace, "deployment/"+deployment, "--timeout=180s")
}

// testReplicas ends control planes.
func testReplicas(t *testing.T, s *suite) {
	s.load.during(t, "a control plane is killed", func() {
		s.kubectl(t, "delete", "pod", "-n", system, s.anyPod(t, system, "app=fairway").Name, "--grace-period=0", "--force")
		s.rolledOut(t, system)
	})
	s.load.during(t, "the control plane is rolled", func() { s.restart(t, system, "fairway") })
	s.load.during(t, "a rule is changed afterwards", func() {
		s.apply(t, shopping, `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, connectionPool: {http: {maxRequestsPerConnection: 20}}}}
`)
	})
	eventually(t, 6*soon, "what other parts left behind is gone", func() (any, bool) { // else there are changes to be sent
		out := s.kubectl(t, "get", "namespaces")
		return out, !strings.Contains(out, "Terminating")
	})
	s.load.during(t, "all control planes are away", func() {
		s.kubectl(t, "delete", "pod", "-n", system, "-l", "app=fairway", "--grace-period=0", "--force")
		s.rolledOut(t, system)
	})
	s.nothingResent(t, 5) // two shops, the load and two gateways
}

// pages are what the control planes answer to a path of their debug port.
func (s *suite) pages(ctx context.Context, path string) ([]string, error) {
	names, err := s.Kubectl(ctx, "", "get", "pods", "-n", system, "-l", "app=fairway", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, pod := range strings.Fields(names) {
		text, err := s.page(ctx, pod, path)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// nothingResent looks at what the control planes, which are new, sent since they
// started: proxies that come back have told them what they hold.
func (s *suite) nothingResent(t *testing.T, proxies float64) {
	t.Helper()
	sums := map[string]float64{}
	eventually(t, 3*soon, "all proxies are back", func() (any, bool) {
		clear(sums)
		pages, err := s.pages(t.Context(), "/metrics")
		if err != nil {
			return err, false
		}
		for line := range strings.Lines(strings.Join(pages, "\n")) {
			var n float64
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name == "fairway_xds_proxies" || strings.HasPrefix(name, "fairway_xds_push_bytes_total") {
				if _, err := fmt.Sscan(value, &n); err == nil {
					sums[name] += n
				}
			}
		}
		return sums, sums["fairway_xds_proxies"] >= proxies
	})
	t.Log("sent by new control planes: ", sums)
	for _, kind := range []string{"cds", "lds", "rds"} {
		name := fmt.Sprintf("fairway_xds_push_bytes_total{type=%q}", kind)
		if n, known := sums[name]; !known || n > 0 {
			t.Errorf("%s is %v: proxies had it all", name, n)
		}
	}
}

// testLifeOfPods moves meshed applications and gateways, with the chart's
// defaults.
func testLifeOfPods(t *testing.T, s *suite) {
	s.load.during(t, "an application is rolled", func() { s.restart(t, shopping, "shop") })
	s.load.during(t, "it is scaled up and down", func() {
		for _, n := range []int{4, 2} {
			s.kubectl(t, "scale", "-n", shopping, "deployment/shop", fmt.Sprintf("--replicas=%d", n))
			s.rolledOut(t, shopping)
		}
	})
	s.load.during(t, "the gateway is rolled", func() { s.restart(t, system, "istio-ingressgateway") })
	last := s.Nodes[len(s.Nodes)-1] // control planes, gateways and applications are on it
	s.load.during(t, "a node is drained", func() {
		defer s.kubectl(t, "uncordon", last)
		s.kubectl(t, "drain", last, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
		s.rolledOut(t, shopping)
		s.rolledOut(t, system)
	})
}

// gone waits until no more than n pods are left of a selector, those that are
// ending too.
func (s *suite) gone(t *testing.T, namespace, selector string, n int) {
	t.Helper()
	eventually(t, 6*soon, "pods end", func() (any, bool) {
		out := strings.Fields(s.kubectl(t, "get", "pods", "-n", namespace, "-l", selector, "-o", "name"))
		return out, len(out) <= n
	})
}
