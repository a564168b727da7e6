package translate

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestInboundRetries(t *testing.T) {
	own := &networking.HTTPRetry{Attempts: 5, RetryOn: "reset-before-request,503", Backoff: durationpb.New(30 * time.Millisecond), PerTryTimeout: durationpb.New(time.Second)}
	for _, c := range []struct {
		what     string
		protocol object.Protocol
		policy   *networking.HTTPRetry
		retries  uint32
		on       string
	}{
		{"the default", object.ProtocolHTTP, nil, 2, "reset-before-request"},
		{"the default of HTTP/2", object.ProtocolHTTP2, nil, 0, ""},
		{"none", object.ProtocolHTTP, &networking.HTTPRetry{}, 0, ""},
		{"attempts alone", object.ProtocolHTTP, &networking.HTTPRetry{Attempts: 1}, 1, "reset-before-request"},
		{"all", object.ProtocolHTTP2, own, 5, "reset-before-request,retriable-status-codes"},
		{"never for gRPC", object.ProtocolGRPC, own, 0, ""},
	} {
		cfg := mesh.DefaultConfig()
		if c.policy != nil {
			cfg = &mesh.Config{MeshConfig: &meshconfig.MeshConfig{DefaultInboundHttpRetryPolicy: c.policy}}
		}
		p := inboundRetries(c.protocol, cfg)
		if p.GetNumRetries().GetValue() != c.retries || p.GetRetryOn() != c.on || p.GetPerTryTimeout() != nil {
			t.Errorf("%s: %v", c.what, p)
		}
		if c.policy == own && p != nil && (p.GetRetryBackOff().GetBaseInterval().AsDuration() != 30*time.Millisecond || len(p.GetRetriableStatusCodes()) != 1) {
			t.Errorf("%s: %v", c.what, p)
		}
	}
}
