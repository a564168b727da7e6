package translate

import (
	"maps"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// TestNamesThatAreNotResolved: no Host of a request has a proxy dial its own pod, its node's
// metadata server or its own ports.
func TestNamesThatAreNotResolved(t *testing.T) {
	for host, inside := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "a.localhost": true, "localhost.": true, "localhost..:8080": true, "ip6-loopback": true, "metadata.google.internal.:80": true, "metadata": true,
		"127.0.0.1": true, "127.1:80": true, "2130706433": true, "0x7f000001": true, "0177.0.0.1": true, "0.0.0.0": true, "10.0.0.1:8080": true, "169.254.169.254": true, "127.0.0.1.": true,
		"[::1]": true, "[::1]:15000": true, "::1": true, "[fd00:ec2::254]:80": true, "a.example:80:80": true,
		"a.example:15000": true, "a.example:15090": true, "a.example:015000": true, "a.example:15047": true,
		"localhost:+15000": true, "127.0.0.1:+80": true, "a.example:+15000": true, "a.example:+015000": true, "metadata.google.internal:+80": true, " a.example:15000": true,
		"a.example: 15000": true, "a.example:15000 ": true, "a.example:-80": true, "a.example:": true, "a.example:0x3a98": true, "user@localhost:80": true, "localhost%2e": true, " localhost": true,
		"a.example:80536": true, "a.example:65536": true, "a.example:4294982296": true, "a.example:65535": false, "a.example:59999": false, "a.example:00080": false, "A_b-c.Example:8080": false,
		"a.example": false, "a.example:80": false, "a.example.": false, "a.example:15100": false, "a.example:14999": false, "a.example:15091": false, "a.example:8080": false,
		"localhost.example": false, "mylocalhost": false, "0x.example": false, "1.example": false, "metadata.example": false, "web": false, "a1": false, "15000.example": false,
	} {
		if isNotResolved(host) != inside {
			t.Errorf("%s: is inside: %t, want %t", host, !inside, inside)
		}
	}
}

// TestDynamicClusterInMetrics: requests for names that are resolved are counted by the name
// of their cluster, as others for unknown hosts are.
func TestDynamicClusterInMetrics(t *testing.T) {
	w := parsedWorld(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}"}}`)
	of := func(c *clusterv3.Cluster) map[string]any { return c.GetMetadata().GetFilterMetadata()["mesh"].AsMap() }
	got, want := of(DynamicClusters(w.Config)[0]), of(BasicClusters(w.Config)[0])
	want["name"] = "DynamicDNSCluster"
	if !maps.Equal(got, want) || got["host"] != "unknown" || got["namespace"] != "unknown" {
		t.Errorf("%v, want %v", got, want)
	}
}
