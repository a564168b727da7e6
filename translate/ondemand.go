package translate

import (
	"net/netip"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The facts that a sidecar with a learned scope keeps: of a request that the control
// plane has been asked for its host, and of a connection the address that it was meant for.
const (
	askedFact       = "fairway.asked"
	destinationFact = "fairway.destination"
)

// OnDemandFilter is Envoy's filter that asks for the virtual host of a request which no
// route matches, and holds the request until the answer is there.
const OnDemandFilter = "envoy.filters.http.on_demand"

// askFilters come first in the chain of a listener in whose route configuration a host may
// be missing: the one asks, the other notes that it was asked, and has the route looked for
// anew. So a route that matches on the note is for hosts that the control plane does not
// have either.
func askFilters() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		resource.HTTPFilter(OnDemandFilter, &ondemandv3.OnDemand{}),
		resource.HTTPFilter("envoy.filters.http.set_filter_state/asked", &setstatev3.Config{
			ClearRouteCache: true, OnRequestHeaders: []*filterstatev3.FilterStateValue{note(askedFact, "envoy.string", "1")},
		}),
	}
}

// destinationFilter is the network filter that notes where a connection was meant to go.
func destinationFilter() *listenerv3.Filter {
	return resource.NetworkFilter("envoy.filters.network.set_filter_state/destination", &netstatev3.Config{
		OnNewConnection: []*filterstatev3.FilterStateValue{note(destinationFact, "envoy.network.ip", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%")},
	})
}

func note(key, factory, format string) *filterstatev3.FilterStateValue {
	return &filterstatev3.FilterStateValue{
		Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: key}, FactoryKey: factory,
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: format},
			}},
		}},
	}
}

// AskName is the name of the virtual host that has a sidecar ask, within its route
// configuration.
const AskName = "ask"

// firstCharacters are those that the names begin with which requests have. Envoy looks
// for patterns that end with a star last, so that all hosts that it holds come first.
const firstCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_["

// AskVirtualHost is the virtual host of a route configuration that takes the requests for
// hosts which the sidecar does not hold. None of its routes matches until the control plane
// has been asked; then they do what the fallback does, the virtual host for hosts that nothing
// in the mesh knows. A Host header that is too long for a name is not asked for.
func AskVirtualHost(config string, fallback *routev3.VirtualHost) *routev3.VirtualHost {
	vh := &routev3.VirtualHost{Name: config + "/" + AskName}
	for _, c := range firstCharacters {
		vh.Domains = append(vh.Domains, string(c)+"*")
	}
	long := &routev3.HeaderMatcher{Name: ":authority", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: longAuthority}},
	}}}
	for _, r := range fallback.GetRoutes() {
		unasked := proto.CloneOf(r)
		unasked.Match.Headers = append(unasked.Match.Headers, long)
		asked := proto.CloneOf(r)
		asked.Match.FilterState = append(asked.Match.FilterState, &matcherv3.FilterStateMatcher{Key: askedFact, Matcher: &matcherv3.FilterStateMatcher_StringMatch{
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "1"}},
		}})
		vh.Routes = append(vh.Routes, unasked, asked)
	}
	return vh
}

// longAuthority matches a Host header that no name can be: a name has at most 253 bytes, and a
// port follows.
const longAuthority = ".{260,}"

// AwayVirtualHost is the fallback of a route configuration of which the sidecar does not hold
// all hosts. It is in force where nobody can be asked: the virtual host that asks ends some
// time after the control plane has gone. A request that may be meant for a host of the mesh
// is refused with 503 then, since it would go out without the mesh's mutual TLS, policies and
// routes: one for a name of a Service, and one on a connection to any of the addresses, those
// of the hosts of the route configuration. Everything else is what the fallback does.
func AwayVirtualHost(fallback *routev3.VirtualHost, addresses []netip.Prefix) *routev3.VirtualHost {
	vh := proto.CloneOf(fallback)
	var refusals []*routev3.Route
	if len(addresses) > 0 {
		ranges := make([]*xdscorev3.CidrRange, 0, len(addresses))
		for _, p := range addresses {
			ranges = append(ranges, &xdscorev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))})
		}
		refusals = append(refusals, awayRoute("away_address", &routev3.RouteMatch{FilterState: []*matcherv3.FilterStateMatcher{{
			Key: destinationFact, Matcher: &matcherv3.FilterStateMatcher_AddressMatch{AddressMatch: &matcherv3.AddressMatcher{Ranges: ranges}},
		}}}))
	}
	for _, p := range servicePatterns() {
		p.IgnoreCase = true
		refusals = append(refusals, awayRoute("away_name", &routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{{
			Name: ":authority", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: p},
		}}}))
	}
	vh.Routes = append(refusals, vh.Routes...)
	return vh
}

// servicePatterns match the names of Services that cannot be mistaken for others, with and
// without a port.
func servicePatterns() []*matcherv3.StringMatcher {
	suffix := func(s string) *matcherv3.StringMatcher {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: s}}
	}
	contains := func(s string) *matcherv3.StringMatcher {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: s}}
	}
	return []*matcherv3.StringMatcher{suffix(".svc"), contains(".svc:"), suffix(".svc." + object.Domain), suffix(".svc." + object.Domain + "."), contains(".svc." + object.Domain + ":")}
}

func awayRoute(name string, match *routev3.RouteMatch) *routev3.Route {
	match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	return &routev3.Route{Name: name, Match: match, Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
		Status: 503, Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
			InlineString: "this sidecar has not used this host before, and cannot ask the control plane for it now: try again when that is back\n",
		}},
	}}}
}
