package translate

import (
	"testing"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// TestClientFacts: each part of a client's certificate is passed on by its own field, at
// workloads alone as the mesh says, and the port of the client is at all.
func TestClientFacts(t *testing.T) {
	type said = meshconfig.ProxyConfig_ProxyHeaders_SetCurrentClientCertDetails
	type set = hcmv3.HttpConnectionManager_SetCurrentClientCertDetails
	yes, no := wrapperspb.Bool(true), wrapperspb.Bool(false)
	for what, c := range map[string]struct {
		says *said
		want *set
	}{
		"nothing":    {nil, &set{Subject: yes, Dns: true, Uri: true}},
		"no subject": {&said{Subject: no}, &set{Subject: no, Dns: true, Uri: true}},
		"no dns":     {&said{Dns: no}, &set{Subject: yes, Uri: true}},
		"no uri":     {&said{Uri: no}, &set{Subject: yes, Dns: true}},
		"cert":       {&said{Cert: yes}, &set{Subject: yes, Dns: true, Uri: true, Cert: true}},
		"chain":      {&said{Chain: yes}, &set{Subject: yes, Dns: true, Uri: true, Chain: true}},
	} {
		for _, port := range []bool{true, false} {
			headers := &meshconfig.ProxyConfig_ProxyHeaders{SetCurrentClientCertDetails: c.says, XForwardedPort: &meshconfig.ProxyConfig_ProxyHeaders_XForwardedPort{Enabled: wrapperspb.Bool(port)}}
			in := HCMInput{Config: &mesh.Config{MeshConfig: &meshconfig.MeshConfig{DefaultConfig: &meshconfig.ProxyConfig{ProxyHeaders: headers}}}}
			for direction, want := range map[resource.Direction]*set{resource.Inbound: c.want, resource.Gateway: {Subject: yes, Dns: true, Uri: true}, resource.Outbound: nil} {
				in.Direction = direction
				m := &hcmv3.HttpConnectionManager{}
				clientFacts(m, in)
				if !proto.Equal(m.SetCurrentClientCertDetails, want) || m.AppendXForwardedPort != port {
					t.Errorf("%s, %v: %v, port %t, want %v, %t", what, direction, m.SetCurrentClientCertDetails, m.AppendXForwardedPort, want, port)
				}
			}
		}
	}
}
