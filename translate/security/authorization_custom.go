package security

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httpauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tcpauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// checkTimeout is how long an external authorization may take where its
// provider does not say.
const checkTimeout = 600 * time.Second

// customCheck is all CUSTOM policies with one provider: what their rules match
// is put to it. Each provider has a prefix of its own under which Envoy notes
// what matched, so that several can stand side by side.
type customCheck struct {
	provider *meshconfig.MeshConfig_ExtensionProvider // nil: nobody to ask
	cluster  string
	host     string
	prefix   string
	rules    map[string]*rbacv3.Policy
	name     string
}

// customOf is the check of the policy's provider.
func (a *authorization) customOf(p *mesh.AuthorizationPolicy) *customCheck {
	name := p.Spec.GetProvider().GetName()
	for _, c := range a.custom {
		if c.name == name {
			return c
		}
	}
	c := &customCheck{name: name, rules: map[string]*rbacv3.Policy{}, prefix: "istio_ext_authz_" + strconv.Itoa(len(a.custom)) + "_"}
	a.custom = append(a.custom, c)
	refused := "; what the policy's rules match is refused"
	host, port, ok := a.in.Config.AuthorizationBackend(name)
	if !ok {
		a.found(p, "spec.provider.name", object.CodeProviderMissing, "the mesh configuration has no external authorization provider %q with a service and a port%s", name, refused)
		return c
	}
	if _, ok := mesh.BackendOf(a.in.Backends, host, port); !ok {
		a.findings = append(a.findings, object.Finding{Object: p.Ref, Field: "spec.provider.name", Code: object.CodeHostNotFound, Missing: object.Ref{Kind: object.KindHost, Name: host},
			Message: fmt.Sprintf("no service %s with port %d of provider %q is visible to the workload%s: declare it, for servers outside of the mesh with a ServiceEntry", host, port, name, refused)})
		return c
	}
	for _, e := range a.in.Config.GetExtensionProviders() {
		if e.GetName() == name {
			if a.tcp && e.GetEnvoyExtAuthzGrpc() == nil {
				a.found(p, "spec.provider.name", object.CodeUnsupported, "provider %q checks HTTP requests only; connections that the policy's rules match are refused", name)
				return c
			}
			c.provider, c.cluster, c.host = e, resource.OutboundCluster(host, port, ""), host
			break
		}
	}
	return c
}

// match finds out whether the rules match, and only notes it.
func (c *customCheck) match() *rbacv3.RBAC {
	return &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: c.rules}
}

// matched tells from what match noted whether to ask.
func (c *customCheck) matched(filter string) *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: filter,
		Path: []*matcherv3.MetadataMatcher_PathSegment{{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{
			Key: c.prefix + "shadow_engine_result",
		}}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: stringMatch("denied", false)}},
	}
}

func (c *customCheck) httpFilters(a *authorization) []*hcmv3.HttpFilter {
	switch {
	case len(c.rules) == 0:
		return nil
	case c.provider == nil:
		return []*hcmv3.HttpFilter{resource.HTTPFilter("envoy.filters.http.rbac", &httprbacv3.RBAC{Rules: c.match()})}
	}
	check := &httpauthzv3.ExtAuthz{TransportApiVersion: corev3.ApiVersion_V3, FilterEnabledMetadata: c.matched("envoy.filters.http.rbac")}
	if g := c.provider.GetEnvoyExtAuthzGrpc(); g != nil {
		check.Services = &httpauthzv3.ExtAuthz_GrpcService{GrpcService: c.grpc(g)}
		setCheck(check, g.GetFailOpen(), g.GetStatusOnError(), g.GetClearRouteCache(), g.GetIncludeRequestBodyInCheck())
	} else {
		h := c.provider.GetEnvoyExtAuthzHttp()
		check.Services = &httpauthzv3.ExtAuthz_HttpService{HttpService: c.http(h)}
		check.AllowedHeaders = textList(append(append([]string{}, h.GetIncludeRequestHeadersInCheck()...), h.GetIncludeHeadersInCheck()...))
		setCheck(check, h.GetFailOpen(), h.GetStatusOnError(), h.GetClearRouteCache(), h.GetIncludeRequestBodyInCheck())
	}
	return []*hcmv3.HttpFilter{
		resource.HTTPFilter("envoy.filters.http.rbac", &httprbacv3.RBAC{ShadowRules: c.match(), ShadowRulesStatPrefix: c.prefix}),
		resource.HTTPFilter("envoy.filters.http.ext_authz", check),
	}
}

func (c *customCheck) networkFilters(a *authorization) []*listenerv3.Filter {
	switch {
	case len(c.rules) == 0:
		return nil
	case c.provider == nil:
		return []*listenerv3.Filter{resource.NetworkFilter("envoy.filters.network.rbac", &tcprbacv3.RBAC{StatPrefix: "tcp.", Rules: c.match()})}
	}
	g := c.provider.GetEnvoyExtAuthzGrpc()
	return []*listenerv3.Filter{
		resource.NetworkFilter("envoy.filters.network.rbac", &tcprbacv3.RBAC{StatPrefix: "tcp.", ShadowRules: c.match(), ShadowRulesStatPrefix: c.prefix}),
		resource.NetworkFilter("envoy.filters.network.ext_authz", &tcpauthzv3.ExtAuthz{
			StatPrefix: "tcp.", TransportApiVersion: corev3.ApiVersion_V3, GrpcService: c.grpc(g), FailureModeAllow: g.GetFailOpen(),
			FilterEnabledMetadata: c.matched("envoy.filters.network.rbac"),
		}),
	}
}

func timeoutOr(d *durationpb.Duration, otherwise time.Duration) *durationpb.Duration {
	if p := resource.Positive(d); p != nil {
		return p
	}
	return durationpb.New(otherwise)
}

func (c *customCheck) grpc(g *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationGrpcProvider) *corev3.GrpcService {
	return &corev3.GrpcService{
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: c.cluster, Authority: c.host}},
		Timeout:         timeoutOr(g.GetTimeout(), checkTimeout),
	}
}

func (c *customCheck) http(h *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationHttpProvider) *httpauthzv3.HttpService {
	s := &httpauthzv3.HttpService{
		ServerUri: &corev3.HttpUri{
			Uri: "http://" + c.host, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: c.cluster}, Timeout: timeoutOr(h.GetTimeout(), checkTimeout),
		},
		PathPrefix: h.GetPathPrefix(),
	}
	if add := h.GetIncludeAdditionalHeadersInCheck(); len(add) > 0 {
		s.AuthorizationRequest = &httpauthzv3.AuthorizationRequest{}
		for _, k := range slices.Sorted(maps.Keys(add)) {
			s.AuthorizationRequest.HeadersToAdd = append(s.AuthorizationRequest.HeadersToAdd, &corev3.HeaderValue{Key: k, Value: add[k]})
		}
	}
	s.AuthorizationResponse = &httpauthzv3.AuthorizationResponse{
		AllowedUpstreamHeaders:        textList(h.GetHeadersToUpstreamOnAllow()),
		AllowedClientHeaders:          textList(h.GetHeadersToDownstreamOnDeny()),
		AllowedClientHeadersOnSuccess: textList(h.GetHeadersToDownstreamOnAllow()),
	}
	return s
}

func setCheck(check *httpauthzv3.ExtAuthz, failOpen bool, status string, clearRoutes bool, body *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationRequestBody) {
	check.FailureModeAllow, check.ClearRouteCache = failOpen, clearRoutes
	if n, err := strconv.Atoi(status); err == nil && typev3.StatusCode_name[int32(n)] != "" && n != 0 {
		check.StatusOnError = &typev3.HttpStatus{Code: typev3.StatusCode(n)}
	}
	if body.GetMaxRequestBytes() > 0 {
		check.WithRequestBody = &httpauthzv3.BufferSettings{
			MaxRequestBytes: body.GetMaxRequestBytes(), AllowPartialMessage: body.GetAllowPartialMessage(), PackAsBytes: body.GetPackAsBytes(),
		}
	}
}

// textList matches headers by names with wildcards; nil when there are none.
func textList(values []string) *matcherv3.ListStringMatcher {
	if len(values) == 0 {
		return nil
	}
	l := &matcherv3.ListStringMatcher{}
	for _, v := range values {
		l.Patterns = append(l.Patterns, stringMatch(v, true))
	}
	return l
}
