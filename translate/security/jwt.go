package security

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Where the filter that checks tokens leaves the claims of a request's token, as metadata.
const (
	JWTFilter  = "envoy.filters.http.jwt_authn"
	JWTPayload = "payload"
)

// keysTimeout is how long a fetch of keys may take where the rule does not say.
const keysTimeout = 5 * time.Second

// JWTInput is everything that shapes how the tokens of requests are checked.
type JWTInput struct {
	// Policies are those that apply to the workload
	// (mesh.World.RequestAuthenticationsOf).
	Policies mesh.List[*mesh.RequestAuthentication]
	// Issuers are what came of asking those that policies name without keys
	// (mesh.World.IssuersOf).
	Issuers mesh.List[*mesh.IssuerKeys]
	// Backends are services of the mesh that are known to hold keys.
	Backends mesh.List[mesh.Backend]
	Config   *mesh.Config
}

// JWTOutput is what checks tokens.
type JWTOutput struct {
	Filters  []*hcmv3.HttpFilter  // none or one
	Clusters []*clusterv3.Cluster // from which keys are fetched
	Findings []object.Finding
}

// JWTFilters make the filter of RequestAuthentication: a request without token
// passes, one whose token no rule finds good is answered 401. Keys with an address
// (jwksUri) are fetched by the proxy itself; those of an issuer alone have been fetched
// by the control plane, and are written down.
func JWTFilters(in JWTInput) JWTOutput {
	var out JWTOutput
	auth := &jwtv3.JwtAuthentication{Providers: map[string]*jwtv3.JwtProvider{}, BypassCorsPreflight: true}
	var any, all []*jwtv3.JwtRequirement
	for _, p := range in.Policies.Slice() {
		for i, rule := range p.Spec.GetJwtRules() {
			provider, cluster, err := jwtProvider(rule, in)
			if p.Guessed {
				provider.JwksSourceSpecifier, cluster = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: noKeys()}, nil
			}
			if err != nil {
				found := object.Finding{Object: p.Ref, Field: fmt.Sprintf("spec.jwtRules[%d]", i), Code: object.CodeInvalid, Message: err.Error()}
				if unknown := new(keysUnknown); errors.As(err, unknown) {
					found.Code = unknown.code
				}
				if provider.GetLocalJwks() == nil {
					found.Message += fmt.Sprintf("; every token of issuer %q is refused", rule.GetIssuer())
					if found.Code == object.CodeNotLookedUp {
						found.Message += " until then"
					}
				}
				if wrong := new(unusable); errors.As(err, wrong) {
					found.Field += wrong.field
					found.Message += ": " + wrong.remedy
				}
				out.Findings = append(out.Findings, found)
			}
			name := "origins-" + strconv.Itoa(len(any))
			auth.Providers[name] = provider
			one := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: name}}
			if any = append(any, one); rule.GetPresence() != securityapi.JWTRule_OPTIONAL { // what is no known value restricts
				all = append(all, one)
			}
			if cluster != nil && !slices.ContainsFunc(out.Clusters, func(c *clusterv3.Cluster) bool { return c.Name == cluster.Name }) {
				out.Clusters = append(out.Clusters, cluster)
			}
		}
	}
	if len(any) == 0 {
		return out
	}
	auth.Rules = []*jwtv3.RequirementRule{{
		Match:           &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		RequirementType: &jwtv3.RequirementRule_Requires{Requires: jwtRequirement(any, all)},
	}}
	out.Filters = []*hcmv3.HttpFilter{resource.HTTPFilter(JWTFilter, auth)}
	return out
}

// jwtRequirement is what tokens a request needs: those of all rules that require theirs
// (JWTRule.presence), and else one of any rule or none at all. A token of a rule that
// requires it is one of any rule, since it may stand where the others look.
func jwtRequirement(any, all []*jwtv3.JwtRequirement) *jwtv3.JwtRequirement {
	switch {
	case len(all) == 1 && len(any) == 1:
		return all[0]
	case len(all) == len(any):
		return &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAll{RequiresAll: &jwtv3.JwtRequirementAndList{Requirements: all}}}
	}
	missing := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}}
	optional := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAny{RequiresAny: &jwtv3.JwtRequirementOrList{Requirements: append(slices.Clone(any), missing)}}}
	if len(all) == 0 {
		return optional
	}
	return &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAll{RequiresAll: &jwtv3.JwtRequirementAndList{Requirements: append(slices.Clone(all), optional)}}}
}

// jwtProvider is one rule. When it cannot work the provider refuses every
// token of its issuer, and the error says why.
func jwtProvider(r *securityapi.JWTRule, in JWTInput) (*jwtv3.JwtProvider, *clusterv3.Cluster, error) {
	p := &jwtv3.JwtProvider{
		Issuer:               r.GetIssuer(),
		Audiences:            r.GetAudiences(),
		Forward:              r.GetForwardOriginalToken(),
		ForwardPayloadHeader: r.GetOutputPayloadToHeader(),
		FromParams:           r.GetFromParams(),
		FromCookies:          r.GetFromCookies(),
		PayloadInMetadata:    JWTPayload,
		ClearRouteCache:      true, // routes may look at the claims, and were chosen before
		NormalizePayloadInMetadata: &jwtv3.JwtProvider_NormalizePayload{
			SpaceDelimitedClaims: spaceDelimited(r.GetSpaceDelimitedClaims()),
		},
	}
	for _, h := range r.GetFromHeaders() {
		p.FromHeaders = append(p.FromHeaders, &jwtv3.JwtHeader{Name: h.GetName(), ValuePrefix: h.GetPrefix()})
	}
	for _, c := range r.GetOutputClaimToHeaders() {
		p.ClaimToHeaders = append(p.ClaimToHeaders, &jwtv3.JwtClaimToHeader{HeaderName: c.GetHeader(), ClaimName: c.GetClaim()})
	}
	if err := usable(r); err != nil {
		p.FromHeaders, p.ClaimToHeaders, p.ForwardPayloadHeader = slices.DeleteFunc(p.FromHeaders, badHeader), nil, ""
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: noKeys()}
		return p, nil, err
	}
	if r.GetJwksUri() != "" && r.GetJwks() == "" {
		remote, cluster := remoteKeys(r, in)
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: remote}
		return p, cluster, nil
	}
	keys, err := r.GetJwks(), error(nil)
	if keys == "" {
		keys, err = discovered(r.GetIssuer(), in)
	}
	p.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: keys}}}
	if keys == "" {
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: noKeys()}
	}
	return p, nil, err
}

// noKeys are keys that never arrive: Envoy takes no empty set, and any key
// that could be written here would be one that verifies something.
func noKeys() *jwtv3.RemoteJwks {
	return &jwtv3.RemoteJwks{HttpUri: &corev3.HttpUri{
		Uri: "http://none.invalid/", HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: resource.BlackHoleCluster}, Timeout: durationpb.New(keysTimeout),
	}}
}

func badHeader(h *jwtv3.JwtHeader) bool { return !headerName.MatchString(h.GetName()) }

// spaceDelimited are the claims that hold several values in one text.
func spaceDelimited(more []string) []string {
	names := map[string]struct{}{"scope": {}, "permission": {}}
	for _, m := range more {
		if m != "" {
			names[m] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// remoteKeys fetches keys before they are asked for, without keeping the
// listener waiting. Of a service of the mesh the cluster is there already.
func remoteKeys(r *securityapi.JWTRule, in JWTInput) (*jwtv3.RemoteJwks, *clusterv3.Cluster) {
	host, port, tls, _ := mesh.KeysAddress(r.GetJwksUri())
	var own *clusterv3.Cluster
	cluster := resource.OutboundCluster(host, port, "")
	if _, ok := mesh.BackendOf(in.Backends, host, port); !ok {
		own = keysCluster(host, port, tls, in.Config)
		cluster = own.Name
	}
	return &jwtv3.RemoteJwks{
		HttpUri: &corev3.HttpUri{
			Uri: r.GetJwksUri(), HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: timeoutOr(r.GetTimeout(), keysTimeout),
		},
		CacheDuration: durationpb.New(20 * time.Minute),
		AsyncFetch:    &jwtv3.JwksAsyncFetch{FastListener: true},
		RetryPolicy:   &corev3.RetryPolicy{},
	}, own
}
