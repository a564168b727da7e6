package security

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	uritemplatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// headerName is what HTTP allows in the names of headers (RFC 9110), and of
// pseudo headers.
var headerName = regexp.MustCompile("^:?[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

var errEmpty = errors.New("empty")

// stringMatch reads a value of an AuthorizationPolicy: "a" exactly, "a*" and
// "*a" for a prefix and a suffix, "*" for anything that is not empty.
func stringMatch(v string, ignoreCase bool) *matcherv3.StringMatcher {
	m := &matcherv3.StringMatcher{IgnoreCase: ignoreCase}
	switch {
	case v == "*":
		return regexMatch(".+")
	case strings.HasPrefix(v, "*"):
		m.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: v[1:]}
	case strings.HasSuffix(v, "*"):
		m.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: v[:len(v)-1]}
	default:
		m.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: v}
	}
	return m
}

// regexMatch matches the whole text.
func regexMatch(expr string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: expr}}}
}

// segment is a regular expression for a value with wildcards that stands
// between slashes.
func segment(v string) string {
	switch {
	case v == "*":
		return "[^/]+"
	case strings.HasPrefix(v, "*"):
		return "[^/]*" + regexp.QuoteMeta(v[1:])
	case strings.HasSuffix(v, "*"):
		return regexp.QuoteMeta(v[:len(v)-1]) + "[^/]*"
	}
	return regexp.QuoteMeta(v)
}

func authenticated(m *matcherv3.StringMatcher) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: m}}}
}

// principal reads "TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT" with wildcards. The
// mesh's trust domain, its aliases and "cluster.local" stand for each other.
func (b *ruleBuilder) principal(v string) (*rbacv3.Principal, error) {
	switch {
	case v == "":
		return nil, errEmpty
	case v == "*":
		return authenticated(regexMatch(".+")), nil
	case strings.HasPrefix(v, "*"):
		return authenticated(regexMatch("spiffe://.*" + regexp.QuoteMeta(v[1:]))), nil
	}
	var any []*rbacv3.Principal
	for _, name := range b.underAliases(v) {
		any = append(any, authenticated(stringMatch("spiffe://"+name, false)))
	}
	return orPrincipals(any), nil
}

// underAliases is the principal under each trust domain that the mesh trusts
// as its own, or as it is when it is of another one.
func (b *ruleBuilder) underAliases(v string) []string {
	td, rest, ok := strings.Cut(v, "/")
	own := b.in.Config.TrustDomains()
	if !ok {
		return []string{v}
	}
	for _, t := range append([]string{"cluster.local"}, own...) {
		if t == td {
			out := make([]string, 0, len(own))
			for _, o := range own {
				out = append(out, o+"/"+rest)
			}
			return out
		}
	}
	return []string{v}
}

func sourceNamespace(v string) (*rbacv3.Principal, error) {
	if v == "" {
		return nil, errEmpty
	}
	return authenticated(regexMatch("spiffe://[^/]+/ns/" + segment(v) + "/.*")), nil
}

// serviceAccount reads "NAMESPACE/ACCOUNT", or "ACCOUNT" in the namespace of
// the policy.
func (b *ruleBuilder) serviceAccount(v string) (*rbacv3.Principal, error) {
	namespace, account, ok := strings.Cut(v, "/")
	if !ok {
		namespace, account = b.policy.Namespace, v
	}
	if namespace == "" || account == "" || strings.ContainsAny(v, "*") || strings.Contains(account, "/") {
		return nil, errors.New("not NAMESPACE/SERVICEACCOUNT or SERVICEACCOUNT; wildcards are not allowed")
	}
	return authenticated(regexMatch("spiffe://[^/]+/ns/" + regexp.QuoteMeta(namespace) + "/sa/" + regexp.QuoteMeta(account))), nil
}

func trustDomain(v string) (*rbacv3.Principal, error) {
	if v == "" {
		return nil, errEmpty
	}
	return authenticated(regexMatch("spiffe://" + segment(v) + "/.*")), nil
}

// cidr reads an address or a block of addresses.
func cidr(v string) (*corev3.CidrRange, error) {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		a, err := netip.ParseAddr(v)
		if err != nil {
			return nil, errors.New("neither an IP address nor a CIDR block")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Zone() != "" {
		return nil, errors.New("addresses with a zone cannot be matched")
	}
	return &corev3.CidrRange{AddressPrefix: p.Masked().Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}, nil
}

// directIP is the address that the connection comes from.
func directIP(v string) (*rbacv3.Principal, error) {
	c, err := cidr(v)
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: c}}, err
}

// remoteIP is the address of the client as X-Forwarded-For or the PROXY
// protocol tell, where they are trusted.
func remoteIP(v string) (*rbacv3.Principal, error) {
	c, err := cidr(v)
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: c}}, err
}

func header(name, v string, ignoreCase bool) *routev3.HeaderMatcher {
	if v == "*" {
		return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	}
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: stringMatch(v, ignoreCase)}}
}

func headerPrincipal(name, v string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: header(name, v, false)}}
}

func hostPermission(v string) (*rbacv3.Permission, error) {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: header(":authority", v, true)}}, nil
}

func methodPermission(v string) (*rbacv3.Permission, error) {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: header(":method", v, false)}}, nil
}

func portPermission(v string) (*rbacv3.Permission, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return nil, errors.New("not a port from 1 to 65535")
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: uint32(n)}}, nil
}

func destinationIP(v string) (*rbacv3.Permission, error) {
	c, err := cidr(v)
	return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: c}}, err
}

func sniPermission(v string) (*rbacv3.Permission, error) {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: stringMatch(v, false)}}, nil
}

// pathPermission matches the path without query: a value with wildcards, or a
// template in which {*} is one segment and {**} all that follow.
func pathPermission(v string) (*rbacv3.Permission, error) {
	if strings.Contains(v, "{") {
		template, err := pathTemplate(v)
		if err != nil {
			return nil, err
		}
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UriTemplate{UriTemplate: &corev3.TypedExtensionConfig{
			Name:        "envoy.path.match.uri_template.uri_template_matcher",
			TypedConfig: resource.Pack(&uritemplatev3.UriTemplateMatchConfig{PathTemplate: template}),
		}}}, nil
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
		Rule: &matcherv3.PathMatcher_Path{Path: stringMatch(v, false)},
	}}}, nil
}

// pathLiteral is what Envoy takes between the slashes of a template.
var pathLiteral = regexp.MustCompile(`^[a-zA-Z0-9\-._~%!$&'()+,;:@=]*$`)

// pathTemplate writes a template as Envoy has it, or says why it would refuse it.
func pathTemplate(v string) (string, error) {
	if !strings.HasPrefix(v, "/") {
		return "", errors.New("a path template has to start with /")
	}
	segments := strings.Split(v[1:], "/")
	last := false
	for i, s := range segments {
		switch {
		case last && strings.Contains(s, "{"):
			return "", errors.New("{**} has to be the last operator")
		case s == "{*}":
			segments[i] = "*"
		case s == "{**}":
			segments[i], last = "**", true
		case !pathLiteral.MatchString(s):
			return "", fmt.Errorf("%q is neither {*} nor {**} nor plain text", s)
		case s == "" && i < len(segments)-1:
			return "", errors.New("a path template has no empty segments")
		}
	}
	return "/" + strings.Join(segments, "/"), nil
}
