//go:build linux

package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// gatewayService is the ingress gateway's Service in istio-system.
const gatewayService = "istio-ingressgateway"

// headless is tutorial B.
func (r *run) headless(ctx context.Context) error {
	if err := r.inject(ctx, "Three pods of v1 and one of v2 behind a headless service", "kubia/kubia.yaml"); err != nil {
		return err
	}
	if err := r.apply(ctx, "Open the gateway, and split 50:50 by version", "kubia/gateway.yaml", "kubia/virtual-service.yaml", "kubia/destination-rule.yaml"); err != nil {
		return err
	}
	if err := r.wait(ctx, "default", "istio-system"); err != nil {
		return err
	}
	nodePort, err := r.mesh.NodePortURL(ctx, "istio-system", gatewayService, 8080)
	if err != nil {
		return err
	}
	balancer, err := r.mesh.LoadBalancerURL(ctx, "istio-system", gatewayService, 8080)
	if err != nil {
		return err
	}
	client := outside()
	if err := r.do("Ask from outside, 200 times, with any Host header", "curl -H 'Host: anything.example' "+nodePort, func() error { return nil }); err != nil {
		return err
	}
	r.see("the answers are split 50:50 by version, although the pods are 3:1, and all three pods of v1 answer", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) { return r.split(ctx, client, nodePort) })
	})
	for _, u := range []struct{ what, url, host string }{
		{"the load balancer's address answers too", balancer, "anything.example"},
		{"a Host header with the node port answers", nodePort, strings.TrimPrefix(nodePort, "http://")},
	} {
		r.see(u.what, func() (string, bool, error) {
			answer, err := get(ctx, client, u.url, "Host", u.host)
			return u.url + ": " + answer, strings.HasPrefix(answer, "You've hit v"), err
		})
	}
	if err := r.apply(ctx, "Admit only the host kubia.example", "kubia/gateway-host.yaml"); err != nil {
		return err
	}
	r.see("another host gets 404, the right one gets through", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			other, err := get(ctx, client, nodePort, "Host", "other.example")
			if err != nil {
				return "", false, err
			}
			right, err := get(ctx, client, nodePort, "Host", "kubia.example")
			seen := fmt.Sprintf("other.example: %s; kubia.example: %s", other, right)
			return seen, strings.HasPrefix(other, "404") && strings.HasPrefix(right, "You've hit v"), err
		})
	})
	r.try("Ask through the gateway: curl -H 'Host: kubia.example' %s", nodePort)
	return nil
}

// outside is a client on the machine, which opens a connection per request as a
// person's curl does.
func outside() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// split asks 200 times and counts versions and pods.
func (r *run) split(ctx context.Context, client *http.Client, url string) (string, bool, error) {
	versions, pods := counts{}, map[string]bool{}
	for range 200 {
		answer, err := get(ctx, client, url, "Host", "anything.example")
		if err != nil {
			return versions.String(), false, err
		}
		var version, pod string
		if n, _ := fmt.Sscanf(answer, "You've hit %s %s", &version, &pod); n != 2 {
			return answer, false, nil
		}
		versions[version]++
		if version == "v1" {
			pods[pod] = true
		}
	}
	// 200 throws of a fair coin are outside of 35 % to 65 % once in 50,000 runs.
	return fmt.Sprintf("%s; %d pods of v1", versions, len(pods)), versions.even("v1", "v2", 0.35) && len(pods) == 3, nil
}
