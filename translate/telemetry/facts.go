package telemetry

import (
	"slices"

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
	c := &setfilterstatev3.Config{}
	switch {
	case !r.countsAny():
		return nil
	case r.client():
		c.OnNewConnection = callerFacts()
	case r.MutualTLS:
		c.OnNewConnection, c.OnDownstreamTlsHandshake = strangerFacts(), peerFacts()
	default:
		return nil
	}
	return []*listenerv3.Filter{resource.NetworkFilter("envoy.filters.network.set_filter_state", c)}
}

// callerFacts ask the node, since the listeners of a scope are shared by all its
// workloads. Each is an alternative to those before it of its name: short
// expressions take a third of the memory of one that has all alternatives.
func callerFacts() []*filterstatev3.FilterStateValue {
	out := []*filterstatev3.FilterStateValue{
		remember("source_workload", Unknown), ifAny("source_workload", "%CEL(xds.node.metadata['WORKLOAD_NAME'])%"),
		remember("source_workload_namespace", Unknown), ifAny("source_workload_namespace", "%CEL(xds.node.metadata['NAMESPACE'])%"),
	}
	for _, l := range []string{"app", "version"} {
		out = append(out, ifAny(l, nodeLabel(l)), remember("source_"+l, Unknown), ifAny("source_"+l, fact(l)))
	}
	out = append(out, remember("source_canonical_service", fact("source_workload")), remember("source_canonical_revision", "latest"))
	for _, l := range slices.Backward(canonicalNames) {
		out = append(out, ifAny("source_canonical_service", labelFact(l)))
	}
	for _, l := range slices.Backward(canonicalRevisions) {
		out = append(out, ifAny("source_canonical_revision", labelFact(l)))
	}
	return out
}

// nodeLabel is a label that the node tells of its pod.
func nodeLabel(name string) string {
	return "%CEL(xds.node.metadata['LABELS']['" + name + "'])%"
}

// labelFact is the label, which may be remembered already.
func labelFact(name string) string {
	if name == "app" || name == "version" {
		return fact(name)
	}
	return nodeLabel(name)
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
