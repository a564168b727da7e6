package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/test/wire"
)

// bearer sends the token of a ServiceAccount with each stream.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }

// secured connects all proxies over TLS, each with the token of its pod.
func (b *bench) secured(ctx context.Context) {
	if b.source.api == nil || !b.fleet.delta {
		return
	}
	tokens, err := b.tokens(ctx)
	if err != nil {
		b.failed = err
		return
	}
	f, plain := b.fleet, b.fleet.options
	f.disconnect(f.proxies)
	time.Sleep(time.Second)
	empty, err := b.plane.settledHeap()
	if err != nil {
		b.failed = err
		return
	}
	f.address = b.plane.secure
	f.options = func(p *proxy, o *wire.Options) {
		o.Creds = credentials.NewTLS(&tls.Config{
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, //nolint:gosec // what is measured is the server
			DynamicRecordSizingDisabled: true, // as Envoy's TLS: a record takes what there is to send
		})
		o.PerRPC = bearer(tokens[p])
	}
	b.profiled("tls", func() {
		b.join(ctx, "cold connect, TLS", false, func(r *result) {
			if r.Heap, err = b.plane.settledHeap(); err != nil {
				b.failed = err
			}
			r.HeapPerProxy = (r.Heap - empty) / int64(len(f.proxies))
		})
	})
	b.marginal(ctx, ", TLS")
	f.disconnect(f.proxies)
	f.address, f.options = b.plane.xds, plain
	if err := f.connect(f.proxies, false); err != nil {
		b.failed = err
		return
	}
	f.arrive(ctx, false)
}

// tokens are those that a kubelet would mount into the pods of the proxies.
func (b *bench) tokens(ctx context.Context) (map[*proxy]string, error) {
	tokens := map[*proxy]string{}
	accounts := map[string]bool{}
	for _, p := range b.fleet.proxies {
		if !accounts[p.namespace] {
			accounts[p.namespace] = true
			if err := b.source.create(ctx, []object{{kind: kindServiceAccount, namespace: p.namespace, name: "default"}}); err != nil {
				return nil, err
			}
		}
		pod, _, _ := strings.Cut(strings.Split(p.id, "~")[2], ".")
		ask, err := json.Marshal(authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{identity.DefaultAudience}, BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod}}})
		if err != nil {
			return nil, err
		}
		path := "/api/v1/namespaces/" + p.namespace + "/serviceaccounts/default/token"
		answer, err := b.source.api.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(ask).DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking for a token of pod %s: %w", pod, err)
		}
		var request authenticationv1.TokenRequest
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(answer, nil, &request); err != nil {
			return nil, fmt.Errorf("reading a token: %w", err)
		}
		tokens[p] = request.Status.Token
	}
	return tokens, nil
}
