package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// DrainName is the name of the filter, and of the ECDS resource, that drains a
// proxy. Inbound and gateway connection managers have the filter. It does
// nothing until the control plane sends the resource.
const DrainName = "fairway.drain"

// drainWhenDone ends connections when the answer under way is complete: HTTP/1
// answers say "connection: close", HTTP/2 connections get a GOAWAY. New
// connections are still served.
const drainWhenDone = `function envoy_on_response(handle)
  handle:streamInfo():drainConnectionUponCompletion()
end`

// Draining is the ECDS resource for proxies whose Pod ends. Only the control
// plane can begin a drain: nobody who reaches a port of the Pod can.
func Draining() *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: DrainName, TypedConfig: resource.Pack(&luav3.Lua{
		DefaultSourceCode: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: drainWhenDone}},
	})}
}

// drainFilter is the place for Draining. A listener never waits for it, and it
// changes without replacing the listener, which would close connections.
func drainFilter() *hcmv3.HttpFilter {
	idle, drain := resource.Pack(&setmetadatav3.Config{}), resource.Pack(&luav3.Lua{})
	return &hcmv3.HttpFilter{Name: DrainName, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: resource.ADS(), DefaultConfig: idle, ApplyDefaultConfigWithoutWarming: true, TypeUrls: []string{drain.TypeUrl, idle.TypeUrl},
	}}}
}
