package translate

import (
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// rewritePath maps HTTPRewrite.uri and uriRegexRewrite, of which the regex
// wins. Envoy replaces what the match compared: the prefix, or the whole path
// of an exact or regex match.
func rewritePath(a *routev3.RouteAction, rw *networking.HTTPRewrite) {
	if re := rw.GetUriRegexRewrite(); re != nil {
		a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: regexMatcher(re.Match), Substitution: re.Rewrite}
		return
	}
	a.PrefixRewrite = rw.GetUri()
}

// replacePrefix puts something in place of a prefix of whole segments ("" is
// the root), with exactly one "/" between it and what follows.
func replacePrefix(prefix, with string) *matcherv3.RegexMatchAndSubstitute {
	with = strings.ReplaceAll(strings.TrimRight(with, "/"), `\`, `\\`)
	pattern, substitution := "^"+regexp.QuoteMeta(prefix)+"(/.*)?$", with+`\1`
	if prefix == "" || with == "" {
		pattern, substitution = "^"+regexp.QuoteMeta(prefix)+"/*(.*)$", with+`/\1`
	}
	return &matcherv3.RegexMatchAndSubstitute{Pattern: regexMatcher(pattern), Substitution: substitution}
}

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY,
	302: routev3.RedirectAction_FOUND,
	303: routev3.RedirectAction_SEE_OTHER,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT,
	308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

// redirect maps HTTPRedirect. port is that of the listener: what
// FROM_REQUEST_PORT means.
func redirect(in *networking.HTTPRedirect, port uint32) *routev3.RedirectAction {
	r := &routev3.RedirectAction{HostRedirect: in.Authority, ResponseCode: redirectCodes[in.RedirectCode]}
	switch {
	case in.Uri != "":
		r.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: in.Uri}
	case in.PrefixRewrite != "":
		r.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: in.PrefixRewrite}
	}
	if in.Scheme != "" {
		r.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.Scheme}
	}
	switch p := in.RedirectPort.(type) {
	case *networking.HTTPRedirect_Port:
		r.PortRedirect = p.Port
	case *networking.HTTPRedirect_DerivePort:
		if p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT {
			r.PortRedirect = port
		}
	}
	scheme := in.Scheme
	if scheme == "" { // that of the request, which the port tells
		scheme = "http"
		if port == 443 {
			scheme = "https"
		}
	}
	if r.PortRedirect == 80 && scheme == "http" || r.PortRedirect == 443 && scheme == "https" { // the scheme implies it
		r.PortRedirect = 0
	}
	return r
}

func directResponse(in *networking.HTTPDirectResponse) *routev3.DirectResponseAction {
	r := &routev3.DirectResponseAction{Status: in.Status}
	switch body := in.GetBody().GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		r.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body.String_}}
	case *networking.HTTPBody_Bytes:
		r.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: body.Bytes}}
	}
	return r
}
