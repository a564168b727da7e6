package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	uritemplatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
)

// Decision is what policies come to.
type Decision string

// The decisions.
const (
	Allow   Decision = "allow"
	Deny    Decision = "deny"
	Unknown Decision = "unknown" // it depends on what is not followed: a token, another server, an address
)

// Verdict is what AuthorizationPolicies say of a request or connection.
type Verdict struct {
	Decision Decision `json:"decision"`
	// By is the policy that decided, as "namespace/name"; empty when none did: nothing
	// denies where nothing has to allow, or something has to and does not.
	By  string `json:"by,omitempty"`
	Why string `json:"why"` // a sentence
}

// may asks the filters that can refuse a request; false: it is answered.
func (w *walk) may(h *hcmv3.HttpConnectionManager) bool {
	asked := false // an external server about the request
	for _, f := range h.HttpFilters {
		switch {
		case strings.Contains(f.Name, "jwt_authn"):
			if why := w.tokens(f); why != "" {
				w.judge(Verdict{Decision: Unknown, Why: why})
				return true
			}
		case strings.Contains(f.Name, "ext_authz"):
			if asked {
				w.judge(Verdict{Decision: Unknown, Why: "A server of a CUSTOM policy is asked about the request."})
				return true
			}
		case strings.Contains(f.Name, "rbac"):
			config := &httprbacv3.RBAC{}
			if f.GetTypedConfig().UnmarshalTo(config) != nil {
				w.judge(Verdict{Decision: Unknown, Why: "The rules of the filter " + f.Name + " cannot be read."})
				return true
			}
			asked = asked || w.asks(config.ShadowRules, config.ShadowRulesStatPrefix)
			switch w.follow(config.Rules) {
			case Deny:
				w.end(403, "", "The AuthorizationPolicies refuse the request: %s", w.Verdict.Why)
				return false
			case Unknown:
				return true
			}
		}
	}
	return true
}

// mayConnect asks the filters that can refuse a connection; false: it is closed.
func (w *walk) mayConnect(chain *listenerv3.FilterChain) bool {
	asked := false
	for _, f := range chain.GetFilters() {
		config := &tcprbacv3.RBAC{}
		if asked && strings.Contains(f.Name, "ext_authz") {
			w.judge(Verdict{Decision: Unknown, Why: "A server of a CUSTOM policy is asked about the connection."})
			return true
		}
		if !f.GetTypedConfig().MessageIs(config) {
			continue
		}
		if f.GetTypedConfig().UnmarshalTo(config) != nil {
			w.judge(Verdict{Decision: Unknown, Why: "The rules of the filter " + f.Name + " cannot be read."})
			return true
		}
		asked = asked || w.asks(config.ShadowRules, config.ShadowRulesStatPrefix)
		switch w.follow(config.Rules) {
		case Deny:
			w.end(0, "", "The AuthorizationPolicies refuse the connection: %s", w.Verdict.Why)
			return false
		case Unknown:
			return true
		}
	}
	return true
}

// asks tells whether a server of a CUSTOM policy may be asked, by the rules that say so.
func (w *walk) asks(rules *rbacv3.RBAC, prefix string) bool {
	return rules != nil && strings.HasPrefix(prefix, "istio_ext_authz_") && w.anyOf(rules.Policies) != no
}

// judge notes a verdict.
func (w *walk) judge(v Verdict) {
	w.Verdict = &v
	w.say("policy", string(v.Decision), "%s", v.Why)
}

// follow asks the rules of one filter, which all have one action. Nil rules say nothing.
func (w *walk) follow(rules *rbacv3.RBAC) Decision {
	if rules == nil || rules.Action == rbacv3.RBAC_LOG {
		return Allow
	}
	denies := rules.Action == rbacv3.RBAC_DENY
	matched := w.anyOf(rules.Policies)
	by := ""
	if matched == holds {
		for _, name := range slices.Sorted(maps.Keys(rules.Policies)) {
			if w.meets(rules.Policies[name]) == holds {
				by = name
				break
			}
		}
	}
	policy, rule := policyOf(by)
	switch {
	case matched == unknown:
		w.judge(Verdict{Decision: Unknown, Why: "A rule asks for what is not known of the request, such as the client's address."})
	case matched == holds && denies:
		w.judge(Verdict{Deny, policy, fmt.Sprintf("DENY policy %s matches (%s).", policy, rule)})
	case matched == holds:
		w.judge(Verdict{Allow, policy, fmt.Sprintf("ALLOW policy %s matches (%s).", policy, rule)})
	case denies:
		if w.Verdict == nil {
			w.judge(Verdict{Decision: Allow, Why: "No DENY policy matches."})
		}
	default:
		w.judge(Verdict{Decision: Deny, Why: "There are ALLOW policies, and none matches."})
	}
	return w.Verdict.Decision
}

// policyOf reads the name of a rule, "ns[NAMESPACE]-policy[NAME]-rule[0]".
func policyOf(name string) (policy, rule string) {
	namespace, rest, ok := strings.Cut(strings.TrimPrefix(name, "ns["), "]-policy[")
	policy, rule, found := strings.Cut(rest, "]-")
	if !ok || !found {
		return name, ""
	}
	return namespace + "/" + policy, rule
}

// anyOf tells whether one of the rules matches.
func (w *walk) anyOf(policies map[string]*rbacv3.Policy) truth {
	return some(slices.Collect(maps.Values(policies)), w.meets)
}

// meets tells whether a rule matches: one of its principals and one of its permissions.
func (w *walk) meets(p *rbacv3.Policy) truth {
	return min(some(p.GetPrincipals(), w.is), some(p.GetPermissions(), w.wants))
}

// is tells whether the client is the principal.
func (w *walk) is(p *rbacv3.Principal) truth {
	switch id := p.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return truthOf(id.Any)
	case *rbacv3.Principal_AndIds:
		return all(id.AndIds.GetIds(), w.is)
	case *rbacv3.Principal_OrIds:
		return some(id.OrIds.GetIds(), w.is)
	case *rbacv3.Principal_NotId:
		return -w.is(id.NotId)
	case *rbacv3.Principal_Authenticated_:
		switch {
		case w.certified:
			return unknown
		case w.principal == "":
			return no
		}
		name := id.Authenticated.GetPrincipalName()
		return truthOf(name == nil || matchesText(name, w.principal))
	case *rbacv3.Principal_DirectRemoteIp:
		return within(id.DirectRemoteIp, w.Source)
	case *rbacv3.Principal_RemoteIp:
		if _, told := w.header("x-forwarded-for"); told {
			return unknown // how far it is believed is the gateway's affair
		}
		return within(id.RemoteIp, w.remote)
	case *rbacv3.Principal_Header:
		return w.hasHeader(id.Header)
	case *rbacv3.Principal_Metadata: // claims of a token, which the request does not bear
		return truthOf(id.Metadata.GetInvert())
	case *rbacv3.Principal_SourcedMetadata:
		return truthOf(id.SourcedMetadata.GetMetadataMatcher().GetInvert())
	}
	return unknown
}

// wants tells whether the request is for what the permission names.
func (w *walk) wants(p *rbacv3.Permission) truth {
	path, _, _ := strings.Cut(w.Path, "?")
	switch r := p.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return truthOf(r.Any)
	case *rbacv3.Permission_AndRules:
		return all(r.AndRules.GetRules(), w.wants)
	case *rbacv3.Permission_OrRules:
		return some(r.OrRules.GetRules(), w.wants)
	case *rbacv3.Permission_NotRule:
		return -w.wants(r.NotRule)
	case *rbacv3.Permission_Header:
		return w.hasHeader(r.Header)
	case *rbacv3.Permission_UrlPath:
		return truthOf(matchesText(r.UrlPath.GetPath(), path))
	case *rbacv3.Permission_UriTemplate:
		return matchesTemplate(r.UriTemplate, path)
	case *rbacv3.Permission_DestinationPort:
		return truthOf(r.DestinationPort == w.Port)
	case *rbacv3.Permission_DestinationIp:
		return within(r.DestinationIp, w.Destination)
	case *rbacv3.Permission_RequestedServerName:
		return unknown
	case *rbacv3.Permission_SourcedMetadata: // which no filter writes
		return no
	}
	return unknown
}

// within tells whether an address is in a range; nothing is known of a zero one.
func within(r *corev3.CidrRange, a netip.Addr) truth {
	if !a.IsValid() {
		return unknown
	}
	return truthOf(ratePrefixes([]*corev3.CidrRange{r}, a) > 0)
}

// matchesTemplate compares a path with a template, in which "*" is one segment and "**" all
// that follow (envoy.extensions.path.match.uri_template.v3).
func matchesTemplate(c *corev3.TypedExtensionConfig, path string) truth {
	config := &uritemplatev3.UriTemplateMatchConfig{}
	if c.GetTypedConfig().UnmarshalTo(config) != nil {
		return unknown
	}
	parts := strings.Split(config.GetPathTemplate(), "/")
	for i, p := range parts {
		switch p {
		case "*":
			parts[i] = "[^/]+"
		case "**":
			parts[i] = ".*"
		default:
			parts[i] = regexp.QuoteMeta(p)
		}
	}
	re, err := regexp.Compile("^(?s:" + strings.Join(parts, "/") + ")$")
	if err != nil {
		return unknown
	}
	return truthOf(re.MatchString(path))
}
