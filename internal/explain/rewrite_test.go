package explain

import (
	"net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestNormalizedPaths(t *testing.T) {
	base := &hcmv3.HttpConnectionManager{NormalizePath: wrapperspb.Bool(true)}
	merge := &hcmv3.HttpConnectionManager{NormalizePath: wrapperspb.Bool(true), MergeSlashes: true}
	decode := &hcmv3.HttpConnectionManager{NormalizePath: wrapperspb.Bool(true), MergeSlashes: true, PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD}
	for _, c := range []struct {
		h          *hcmv3.HttpConnectionManager
		path, want string
	}{
		{&hcmv3.HttpConnectionManager{}, "/a/../b//c", "/a/../b//c"},
		{base, "/a/../b//c?x=/../y", "/b//c?x=/../y"},
		{base, "/../..", "/"},
		{base, "/a/.", "/a/"},
		{base, "/a/b/..", "/a/"},
		{base, "/a/%2E%2e/b", "/b"},
		{base, `/a\b`, "/a/b"},
		{base, "/a%2Fb", "/a%2Fb"},
		{base, "/%61dmin/%41%2d%7E", "/admin/A-~"},
		{base, "/%2561%2f%zz%a", "/%2561%2f%zz%a"},
		{base, "/a|b{c}^\"?q=%61|", "/a%7Cb%7Bc%7D%5E%22?q=%61|"},
		{base, "/a/..;x=1/b/.;/c;..", "/b/c;.."},
		{base, "/a/%2e%2e;/b", "/a/..;/b"},
		{base, "*", "*"},
		{merge, "///a//b", "/a/b"},
		{decode, "/a%2F%2fb%5Cc", "/a/b/c"},
	} {
		if got := normalized(c.h, c.path); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.path, got, c.want)
		}
	}
}

func TestRewrittenPaths(t *testing.T) {
	prefix := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/a"}}
	exact := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: "/a/b"}}
	regex := &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: "/([a-z])"}, Substitution: `/$\1\\-`}
	for _, c := range []struct {
		m          *routev3.RouteMatch
		with       string
		regex      *matcherv3.RegexMatchAndSubstitute
		path, want string
	}{
		{prefix, "/new", nil, "/a/b?q=1", "/new/b?q=1"},
		{exact, "/new", nil, "/a/b?q=1", "/new?q=1"},
		{prefix, "", nil, "/a/b?q=1", "/a/b?q=1"},
		{prefix, "", regex, "/a/b?q=/c", `/$a\-/$b\-?q=/c`},
	} {
		w := &walk{Request: Request{Path: c.path}}
		if got := w.rewritten(c.m, c.with, c.regex); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.path, got, c.want)
		}
	}
}

func TestLocationOfRedirects(t *testing.T) {
	for _, c := range []struct {
		r                       *routev3.RedirectAction
		scheme, authority, want string
	}{
		{&routev3.RedirectAction{HostRedirect: "b"}, "http", "a:8080", "http://b/p?q"},
		{&routev3.RedirectAction{SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true}}, "http", "a:80", "https://a/p?q"},
		{&routev3.RedirectAction{SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true}}, "http", "a:8080", "https://a:8080/p?q"},
		{&routev3.RedirectAction{PortRedirect: 8443}, "http", "[::1]:80", "http://[::1]:8443/p?q"},
		{&routev3.RedirectAction{PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: "/n?m"}}, "http", "a", "http://a/n?m"},
		{&routev3.RedirectAction{StripQuery: true}, "https", "a", "https://a/p"},
	} {
		w := &walk{Request: Request{Path: "/p?q", Scheme: c.scheme, Authority: c.authority}}
		if got := w.location(c.r, nil); got != c.want {
			t.Errorf("%v leads to %q, want %q", c.r, got, c.want)
		}
	}
}

func TestChangesOfHeaders(t *testing.T) {
	option := func(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
	}
	h := http.Header{"A": {"1"}, "B": {"1"}, "C": {"1"}}
	change(h, []*corev3.HeaderValueOption{
		option("a", "2", corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
		option("b", "100%%", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
		option("c", "2", corev3.HeaderValueOption_ADD_IF_ABSENT),
		option("d", "2", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS),
		option("e", "", corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
	}, []string{"c"})
	for name, want := range map[string]string{"A": "[1 2]", "B": "[100%]", "C": "[2]", "D": "[]", "E": "[]"} {
		if got := h[name]; (want == "[]") != (got == nil) || want != "[]" && "["+strings.Join(got, " ")+"]" != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}
