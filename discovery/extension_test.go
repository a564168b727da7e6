package discovery

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fairway-mesh/fairway/snapshot"
)

// discovering is a listener with a filter that comes by ECDS.
func discovering(t testing.TB, name string, port uint32, filter string) *snapshot.Resource {
	t.Helper()
	return res(t, snapshot.Listener, name, &listenerv3.Listener{Name: name, Address: address("0.0.0.0", port), FilterChains: []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{{Name: filter, ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: adsSource(), DefaultConfig: anyOf(t, &hcmv3.HttpConnectionManager{}),
		}}}},
	}}})
}

func extension(t testing.TB, name string) *snapshot.Resource {
	t.Helper()
	return res(t, snapshot.ExtensionConfig, name, &corev3.TypedExtensionConfig{Name: name, TypedConfig: anyOf(t, &hcmv3.HttpConnectionManager{})})
}

// TestFiltersThatListenersWaitFor: a listener that waits in the proxy for a filter may
// still be served by the one before it, and the clusters of that stay until the
// filter has come. Envoy asks for it before it acknowledges the listener; a client that
// has not done so by then needs no filters, and holds nothing up.
func TestFiltersThatListenersWaitFor(t *testing.T) {
	for name, asks := range map[string]bool{"asks": true, "never asks": false} {
		t.Run(name, func(t *testing.T) {
			p := newScript(t, small(t), false)
			p.connect()
			p.change(with(moved(t, p.s.latest), []*snapshot.Resource{discovering(t, "l81", 81, "f"), extension(t, "f")}))
			p.ack(snapshot.Cluster)
			p.subscribe(snapshot.Endpoint, "b")
			p.ack(snapshot.Endpoint)
			p.expect("cds +b", "eds +b", "lds +l81", "vhds +80/host")
			if asks {
				p.subscribe(snapshot.ExtensionConfig, "f")
			}
			p.ack(snapshot.Listener, snapshot.VirtualHost)
			if asks {
				p.expect("ecds +f")
				p.ack(snapshot.ExtensionConfig)
			}
			p.expect("cds -a")
		})
	}
}
