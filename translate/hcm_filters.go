package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// The names of HTTP filters that routes configure (typed_per_filter_config).
const (
	FaultFilter = "envoy.filters.http.fault"
	CORSFilter  = "envoy.filters.http.cors"
)

// httpFilters is the whole chain in its order. CORS answers preflight requests
// before anybody is asked for a token, which such requests cannot carry;
// faults are injected only into requests that are let through.
func httpFilters(in HCMInput) []*hcmv3.HttpFilter {
	chain := []*hcmv3.HttpFilter{}
	if in.Direction != resource.Outbound {
		chain = append(chain, drainFilter())
	}
	if in.Asks {
		chain = append(chain, askFilters()...)
	}
	if in.GRPCWeb {
		chain = append(chain, resource.HTTPFilter("envoy.filters.http.grpc_web", &grpcwebv3.GrpcWeb{}))
	}
	chain = append(chain, resource.HTTPFilter(CORSFilter, &corsv3.Cors{}))
	chain = append(chain, in.Filters...)
	if in.Sniffed {
		chain = append(chain, resource.HTTPFilter("envoy.filters.http.set_filter_state", offerHTTP()))
	}
	if in.Direction != resource.Inbound {
		chain = append(chain, resource.HTTPFilter(FaultFilter, &faultv3.HTTPFault{}), resource.HTTPFilter(SessionFilter, &sessionv3.StatefulSession{}))
	}
	return append(chain, resource.HTTPFilter("envoy.filters.http.router", router(in)))
}

// offerHTTP makes connections for requests offer an application protocol that
// says so. The cluster offers what is said of bytes, since connections that
// are not HTTP use it too. "http/1.1" is for servers outside of the mesh, some
// of which hang up when they know none of the protocols.
func offerHTTP() *setfilterstatev3.Config {
	return &setfilterstatev3.Config{OnRequestHeaders: []*filterstatev3.FilterStateValue{{
		Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: "envoy.network.application_protocols"},
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "istio-http/1.1,istio,http/1.1"},
			}},
		}},
	}}}
}

func router(in HCMInput) *routerv3.Router {
	r := &routerv3.Router{}
	if d := in.Config.GetDefaultConfig().GetProxyHeaders().GetEnvoyDebugHeaders().GetDisabled(); d.GetValue() {
		r.SuppressEnvoyHeaders = true
	}
	return r
}
