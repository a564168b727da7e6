package mesh

import (
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/annotation"
	"github.com/fairway-mesh/fairway/internal/annotation/bombs"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

func TestTopologyOf(t *testing.T) {
	base := &meshconfig.Topology{NumTrustedProxies: 2, ForwardClientCertDetails: meshconfig.ForwardClientCertDetails_SANITIZE}
	for _, c := range []struct {
		name, annotation string
		want             *meshconfig.Topology
		finding          bool
	}{
		{"none", "", base, false},
		{"about something else", "concurrency: 2", base, false},
		{"one field more", "gatewayTopology: {proxyProtocol: {}}", &meshconfig.Topology{
			NumTrustedProxies: 2, ForwardClientCertDetails: meshconfig.ForwardClientCertDetails_SANITIZE, ProxyProtocol: &meshconfig.Topology_ProxyProtocolConfiguration{},
		}, false},
		{"one field in place", "concurrency: 2\ngatewayTopology:\n  numTrustedProxies: 1\n  later: true\n", &meshconfig.Topology{
			NumTrustedProxies: 1, ForwardClientCertDetails: meshconfig.ForwardClientCertDetails_SANITIZE,
		}, false},
		{"no YAML", "{", base, true},
		{"no topology", "gatewayTopology: [1]", base, true},
		{"no number", "gatewayTopology: {numTrustedProxies: many}", base, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig()
			config.DefaultConfig = &meshconfig.ProxyConfig{GatewayTopology: proto.CloneOf(base)}
			got, findings := config.TopologyOf(&registry.Workload{Annotations: map[string]string{ProxyConfigAnnotation: c.annotation}})
			if !proto.Equal(got, c.want) || (len(findings) > 0) != c.finding {
				t.Errorf("got %v and %v, want %v", got, findings, c.want)
			}
			if !proto.Equal(base, config.DefaultConfig.GatewayTopology) {
				t.Error("the mesh's own was changed")
			}
		})
	}
}

// TestAnnotationsOfPodsAreNoBombs: no annotation of a gateway's Pod costs much more to read than
// its size says. What is larger than is read, or has aliases, is told, and the mesh's applies.
func TestAnnotationsOfPodsAreNoBombs(t *testing.T) {
	base := &meshconfig.Topology{NumTrustedProxies: 2}
	config := DefaultConfig()
	config.DefaultConfig = &meshconfig.ProxyConfig{GatewayTopology: base}
	for _, n := range []int{annotation.MaxBytes - 200, 4 * annotation.MaxBytes} {
		for what, text := range bombs.Of(n) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, findings := config.TopologyOf(&registry.Workload{Annotations: map[string]string{ProxyConfigAnnotation: text}})
			runtime.ReadMemStats(&after)
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 32<<20 {
				t.Errorf("%s of %d bytes takes %d MB", what, len(text), spent>>20)
			}
			if !proto.Equal(got, base) || n > annotation.MaxBytes && len(findings) == 0 {
				t.Errorf("%s: %v applies, and %d findings", what, got, len(findings))
			}
		}
	}
}
