package translate

import (
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// headerMutations are the header operations of a route or of one destination.
type headerMutations struct {
	requestAdd     []*corev3.HeaderValueOption
	requestRemove  []string
	responseAdd    []*corev3.HeaderValueOption
	responseRemove []string
	// authority is what to replace the request's Host by, which Envoy does not
	// let header operations do; "" leaves it.
	authority string
}

// headerMutationsOf maps Headers: set, then add, each by name.
func headerMutationsOf(h *networking.Headers) headerMutations {
	m := headerMutations{
		requestAdd: headerOptions(h.GetRequest()), requestRemove: removable(h.GetRequest()),
		responseAdd: headerOptions(h.GetResponse()), responseRemove: removable(h.GetResponse()),
	}
	for _, ops := range []map[string]string{h.GetRequest().GetAdd(), h.GetRequest().GetSet()} { // set beats add
		for _, name := range slices.Sorted(maps.Keys(ops)) {
			if traffic.HostHeader(name) {
				m.authority = ops[name]
			}
		}
	}
	return m
}

// fixed tells whether Envoy refuses to change the header.
func fixed(name string) bool { return strings.HasPrefix(name, ":") || traffic.HostHeader(name) }

func headerOptions(ops *networking.Headers_HeaderOperations) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	add := func(values map[string]string, action corev3.HeaderValueOption_HeaderAppendAction) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if fixed(name) {
				continue
			}
			out = append(out, &corev3.HeaderValueOption{
				Header:         &corev3.HeaderValue{Key: name, Value: traffic.EscapeHeaderFormat(values[name])},
				AppendAction:   action,
				KeepEmptyValue: values[name] == "",
			})
		}
	}
	add(ops.GetSet(), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	add(ops.GetAdd(), corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	return out
}

func removable(ops *networking.Headers_HeaderOperations) []string {
	var out []string
	for _, name := range ops.GetRemove() {
		if !fixed(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// add joins the operations of a route's only destination to the route's.
func (m *headerMutations) add(o headerMutations) {
	m.requestAdd = append(m.requestAdd, o.requestAdd...)
	m.requestRemove = append(m.requestRemove, o.requestRemove...)
	m.responseAdd = append(m.responseAdd, o.responseAdd...)
	m.responseRemove = append(m.responseRemove, o.responseRemove...)
	if m.authority == "" {
		m.authority = o.authority
	}
}

func (m *headerMutations) applyToRoute(r *routev3.Route) {
	r.RequestHeadersToAdd, r.RequestHeadersToRemove = m.requestAdd, m.requestRemove
	r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = m.responseAdd, m.responseRemove
}

func (m *headerMutations) applyToCluster(c *routev3.WeightedCluster_ClusterWeight) {
	c.RequestHeadersToAdd, c.RequestHeadersToRemove = m.requestAdd, m.requestRemove
	c.ResponseHeadersToAdd, c.ResponseHeadersToRemove = m.responseAdd, m.responseRemove
	if m.authority != "" {
		c.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: m.authority}
	}
}
