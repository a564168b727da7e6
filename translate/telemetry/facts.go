package telemetry

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// factPrefix begins the names under which a connection remembers what its
// metrics say of it.
const factPrefix = "fairway."

// fact is the format of something that a connection remembers.
func fact(name string) string { return "%FILTER_STATE(" + factPrefix + name + ":PLAIN)%" }

// ConnectionFacts is the network filter that finds out once per connection what
// all its metrics say about the caller. An expression is evaluated for each
// metric that holds it, which costs more than the request itself, and holds
// some kilobytes each time; what is remembered costs next to nothing.
// Nil: no metric asks.
func (r Report) ConnectionFacts() []*listenerv3.Filter {
	switch {
	case !r.countsAny():
		return nil
	case r.client():
		return []*listenerv3.Filter{callerFilter()}
	case r.MutualTLS:
		c := &setfilterstatev3.Config{OnNewConnection: strangerFacts(), OnDownstreamTlsHandshake: peerFacts()}
		return []*listenerv3.Filter{resource.NetworkFilter("envoy.filters.network.set_filter_state", c)}
	}
	return nil
}

// strangerFacts hold until the handshake is over, and for callers whose
// handshake fails.
func strangerFacts() []*filterstatev3.FilterStateValue {
	nothing := func(name string) *filterstatev3.FilterStateValue { // an empty text by itself is not taken
		v := remember(name, peerPrincipal)
		v.GetFormatString().OmitEmptyValues = true
		return v
	}
	return []*filterstatev3.FilterStateValue{
		remember("source_workload", Unknown), nothing("source_workload_namespace"), nothing("source_principal"), remember("source_app", Unknown),
		remember("source_version", Unknown), remember("source_canonical_service", Unknown), remember("source_canonical_revision", Unknown),
	}
}

// peerPrincipal is the identity in the client's certificate.
const peerPrincipal = "%DOWNSTREAM_PEER_URI_SAN%"

// peerFacts read the caller's certificate, which says more than the identity:
// the workload is its O, the canonical service its CN, the revision its OU. A
// workload without a revision is of "latest", and of no known version.
func peerFacts() []*filterstatev3.FilterStateValue {
	return []*filterstatev3.FilterStateValue{
		ifAny("source_workload", ofSubject("O")),
		ifAny("source_workload_namespace", `%CEL(re.extract(connection.uri_san_peer_certificate, '/ns/([^/]+)/sa/', '\\1'))%`),
		ifAny("source_principal", peerPrincipal),
		ifAny("source_app", ofSubject("CN")),
		remember("source_canonical_service", fact("source_app")),
		ifAny("source_canonical_revision", ofSubject("OU")),
		remember("source_version", fact("source_canonical_revision")),
		ifAny("source_version", "%CEL(connection.subject_peer_certificate.matches('(^|,)OU=latest(,|$)') ? 'unknown' : '')%"),
	}
}

// ofSubject is a part of the name in the client's certificate.
func ofSubject(part string) string {
	return `%CEL(re.extract(connection.subject_peer_certificate, '(^|,)` + part + `=([^,]+)', '\\2'))%`
}

// remember gives a fact a value, in place of the one that it may have.
func remember(name, format string) *filterstatev3.FilterStateValue {
	return &filterstatev3.FilterStateValue{
		Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: factPrefix + name},
		FactoryKey: "envoy.string",
		Value:      &filterstatev3.FilterStateValue_FormatString{FormatString: textLog(format)},
	}
}

// ifAny gives a fact a value unless there is none, or it is empty.
func ifAny(name, format string) *filterstatev3.FilterStateValue {
	v := remember(name, format)
	v.SkipIfEmpty = true
	v.GetFormatString().OmitEmptyValues = true
	return v
}
