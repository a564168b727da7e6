package translate

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
)

// factPrefix begins the names under which a connection remembers what its
// metrics say of it.
const factPrefix = "fairway."

// fact is the format of something that a connection remembers.
func fact(name string) string { return "%FILTER_STATE(" + factPrefix + name + ":PLAIN)%" }

// peerPrincipal is the identity in the client's certificate.
const peerPrincipal = "%DOWNSTREAM_PEER_URI_SAN%"

// connectionFacts is the network filter that finds out once per connection what
// all its metrics say about the caller. An expression is evaluated for each
// metric that holds it, which costs more than the request itself, and holds
// some kilobytes each time; what is remembered costs next to nothing.
// Nil: no metric asks.
func connectionFacts(r report) []*listenerv3.Filter {
	c := &setfilterstatev3.Config{}
	switch {
	case !r.countsAny():
		return nil
	case r.client():
		// The listeners of a scope are shared by all its workloads, so that the
		// proxy has to ask its node whose it is.
		for _, f := range callerFormats() {
			c.OnNewConnection = append(c.OnNewConnection, remember(f.Name, f.ValueFormat))
		}
	case r.MutualTLS:
		for _, f := range peerFormats() {
			c.OnNewConnection = append(c.OnNewConnection, stranger(f.Name))
			c.OnDownstreamTlsHandshake = append(c.OnDownstreamTlsHandshake, remember(f.Name, f.ValueFormat))
		}
	default:
		return nil
	}
	return []*listenerv3.Filter{networkFilter("envoy.filters.network.set_filter_state", c)}
}

// stranger is what is said of a caller whose handshake fails.
func stranger(name string) *filterstatev3.FilterStateValue {
	if name != "source_principal" && name != "source_workload_namespace" {
		return remember(name, unknown)
	}
	v := remember(name, peerPrincipal) // a text by itself may not be empty
	v.GetFormatString().OmitEmptyValues = true
	return v
}

func remember(name, format string) *filterstatev3.FilterStateValue {
	return &filterstatev3.FilterStateValue{
		Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: factPrefix + name},
		FactoryKey: "envoy.string",
		Value:      &filterstatev3.FilterStateValue_FormatString{FormatString: textLog(format)},
	}
}
