package translate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/test/freeport"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestEnvoyTellsItsWorkload holds what a real Envoy says of itself as a caller,
// by what its node tells: little, or labels of which one comes before another.
func TestEnvoyTellsItsWorkload(t *testing.T) {
	routes := &routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{{Name: "any", Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
	}}}}}
	for name, c := range map[string]struct {
		name, namespace                                 string
		labels                                          map[string]string
		workload, from, app, version, service, revision string
	}{
		"nothing":                {"", "", nil, "unknown", "unknown", "unknown", "unknown", "unknown", "latest"},
		"no labels":              {"sleep-v1", "shop", nil, "sleep-v1", "shop", "unknown", "unknown", "sleep-v1", "latest"},
		"none of the labels":     {"sleep-v1", "shop", map[string]string{"tier": "x"}, "sleep-v1", "shop", "unknown", "unknown", "sleep-v1", "latest"},
		"app and version":        {"sleep-v1", "shop", map[string]string{"app": "sleep", "version": "v1"}, "sleep-v1", "shop", "sleep", "v1", "sleep", "v1"},
		"Kubernetes' labels":     {"sleep-v1", "shop", map[string]string{"app": "sleep", "version": "v1", "app.kubernetes.io/name": "nap", "app.kubernetes.io/version": "v2"}, "sleep-v1", "shop", "sleep", "v1", "nap", "v2"},
		"Istio's labels":         {"sleep-v1", "shop", map[string]string{"app.kubernetes.io/name": "nap", "app.kubernetes.io/version": "v2", "service.istio.io/canonical-name": "rest", "service.istio.io/canonical-revision": "v3"}, "sleep-v1", "shop", "unknown", "unknown", "rest", "v3"},
		"labels without a value": {"sleep-v1", "shop", map[string]string{"app": "", "version": ""}, "sleep-v1", "shop", "unknown", "unknown", "sleep-v1", "latest"},
		"a label, but no name":   {"", "", map[string]string{"version": "v1"}, "unknown", "unknown", "unknown", "v1", "unknown", "v1"},
		"a percent sign in them": {"a%b", "%START_TIME%", nil, "a%b", "%START_TIME%", "unknown", "unknown", "a%b", "latest"},
		"names without end":      {strings.Repeat("a", 1000), "shop", map[string]string{"app": strings.Repeat("b", 1000)}, "unknown", "shop", "unknown", "unknown", "unknown", "latest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := freeport.TCP(t)
			filters := HTTPFilters(HCMInput{Direction: resource.Outbound, Routes: routes, Config: mesh.DefaultConfig()})
			if filters[0].GetName() != telemetry.CallerName || filters[0].GetConfigDiscovery() == nil {
				t.Fatal(filters[0])
			}
			e := runEnvoy(t, map[string]any{"listeners": []json.RawMessage{inboundJSON(t, &listenerv3.Listener{
				Name: "requests", Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(netip.MustParseAddr("127.0.0.1"), port)}},
				FilterChains: []*listenerv3.FilterChain{{Filters: told(telemetry.CallerOf(c.name, c.namespace, c.labels), filters)}},
			})}}, nil)
			var from *caller
			if status, _, err := from.get(t, port, "/"); status != http.StatusOK {
				t.Fatal(status, err)
			}
			want := map[string]string{
				"__name__": "envoy_istio_requests_total", "source_workload": c.workload, "source_workload_namespace": c.from, "source_app": c.app,
				"source_version": c.version, "source_canonical_service": c.service, "source_canonical_revision": c.revision,
			}
			within(t, fmt.Sprint(want), func() error { return e.counted(want) })
		})
	}
}

// TestEnvoyReadsItsCallersCertificate holds what a real Envoy says of a caller
// by the name in its certificate, for requests and for bytes.
func TestEnvoyReadsItsCallersCertificate(t *testing.T) {
	web, lines := headerServer(t), lineServer(t, "")
	service := &registry.Service{Host: "web.default.svc.cluster.local", Name: "web", Namespace: "default"}
	requests, bytes := freeport.TCP(t), freeport.TCP(t)
	e := startInboundEnvoy(t, mesh.Inbound{
		Namespace: "default", Workload: "web", ServiceAccount: "web", IPv4: true, Config: mesh.DefaultConfig(),
		Ports: mesh.ListOf(
			mesh.InboundPort{Number: requests, Protocol: object.ProtocolHTTP, Service: service, Endpoint: web, MutualTLS: mesh.Strict},
			mesh.InboundPort{Number: bytes, Protocol: object.ProtocolTCP, Service: service, Endpoint: lines, MutualTLS: mesh.Strict},
		),
	})
	for name, c := range map[string]struct {
		subject                              pkix.Name
		workload, service, version, revision string
	}{
		"all":         {pkix.Name{Organization: []string{"sleep"}, CommonName: "nap", OrganizationalUnit: []string{"v7"}}, "sleep", "nap", "v7", "v7"},
		"latest":      {pkix.Name{Organization: []string{"sleep-2"}, CommonName: "nap", OrganizationalUnit: []string{"latest"}}, "sleep-2", "nap", "unknown", "latest"},
		"latest-ish":  {pkix.Name{Organization: []string{"sleep-3"}, CommonName: "nap", OrganizationalUnit: []string{"latest-2"}}, "sleep-3", "nap", "latest-2", "latest-2"},
		"no revision": {pkix.Name{Organization: []string{"sleep-4"}, CommonName: "nap"}, "sleep-4", "nap", "unknown", "unknown"},
		"no name":     {pkix.Name{Organization: []string{"sleep-5"}, OrganizationalUnit: []string{"v1"}}, "sleep-5", "unknown", "v1", "v1"},
		"nothing":     {pkix.Name{}, "unknown", "unknown", "unknown", "unknown"},
	} {
		uri, err := url.Parse("spiffe://cluster.local/ns/other/sa/client")
		if err != nil {
			t.Fatal(err)
		}
		_, _, chain, key := signed(t, &x509.Certificate{
			SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri}, Subject: c.subject,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, e.root)
		want := map[string]string{
			"source_workload": c.workload, "source_workload_namespace": "other", "source_principal": uri.String(), "source_app": c.service,
			"source_canonical_service": c.service, "source_version": c.version, "source_canonical_revision": c.revision,
		}
		from := &caller{chain, key, []string{"istio-http/1.1", "istio"}}
		if status, _, err := from.get(t, requests, "/"); status != http.StatusOK {
			t.Fatal(name, status, err)
		}
		from = &caller{chain, key, []string{"istio"}}
		if got, err := from.say(t, bytes, "ping"); got != "ping" {
			t.Fatal(name, got, err)
		}
		for _, metric := range []string{"requests_total", "tcp_connections_opened_total", "tcp_connections_closed_total"} {
			labels := maps.Clone(want)
			labels["__name__"] = "envoy_istio_" + metric
			within(t, name+": "+fmt.Sprint(labels), func() error { return e.counted(labels) })
		}
	}
}
