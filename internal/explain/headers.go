package explain

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Sent is a request as its destination gets it. Of headers it has those of the client and
// those that rules set; Envoy's own (X-Request-Id, X-Forwarded-For and the like) are not
// followed.
type Sent struct {
	Host   string      `json:"host"`
	Path   string      `json:"path"` // with the query
	Header http.Header `json:"header,omitempty"`
}

// Changes is what rules do to the headers of an answer, whatever the destination sends.
type Changes struct {
	Set    http.Header `json:"set,omitempty"` // set or added
	Remove []string    `json:"remove,omitempty"`
}

// level is a place of the configuration that changes headers: a route
// configuration, a virtual host, a route, or a weighted cluster of a route.
type level interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

// from are the levels that change what goes to the cluster and comes from it, the most
// specific first. A nil cluster is that of a route without weights.
func (w *walk) from(c *routev3.WeightedCluster_ClusterWeight) []level {
	if c == nil {
		return w.levels
	}
	return append([]level{c}, w.levels...)
}

// sent is the request as the route sends it on.
func (w *walk) sent(a *routev3.RouteAction, m *routev3.RouteMatch, c *routev3.WeightedCluster_ClusterWeight) *Sent {
	out := &Sent{Host: w.Authority, Path: w.rewritten(m, a.GetPrefixRewrite(), a.GetRegexRewrite()), Header: w.Request.Header.Clone()}
	for _, l := range w.from(c) {
		change(out.Header, l.GetRequestHeadersToAdd(), l.GetRequestHeadersToRemove())
	}
	if host := a.GetHostRewriteLiteral(); host != "" {
		out.Host = host
	}
	if host := c.GetHostRewriteLiteral(); host != "" {
		out.Host = host
	}
	return out
}

// answerChanges is what the levels do to the headers of answers.
func (w *walk) answerChanges(c *routev3.WeightedCluster_ClusterWeight) Changes {
	out := Changes{Set: http.Header{}}
	for _, l := range w.from(c) {
		change(out.Set, l.GetResponseHeadersToAdd(), l.GetResponseHeadersToRemove())
		for _, name := range l.GetResponseHeadersToRemove() {
			out.Remove = append(out.Remove, http.CanonicalHeaderKey(name))
		}
	}
	if len(out.Set) == 0 {
		out.Set = nil
	}
	return out
}

// change does the operations of one level in Envoy's order: it removes, then replaces,
// then adds.
func change(h http.Header, add []*corev3.HeaderValueOption, remove []string) {
	for _, name := range remove {
		h.Del(name)
	}
	before := h.Clone()
	var added []*corev3.HeaderValueOption
	for _, o := range add {
		name := o.GetHeader().GetKey()
		value := literal(o.GetHeader().GetValue())
		if value == "" && !o.GetKeepEmptyValue() {
			continue
		}
		there := len(before.Values(name)) > 0
		switch o.GetAppendAction() {
		case corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
			added = append(added, o)
		case corev3.HeaderValueOption_ADD_IF_ABSENT:
			if !there {
				added = append(added, o)
			}
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
			if there {
				h.Set(name, value)
			}
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
			h.Set(name, value)
		}
	}
	for _, o := range added {
		h.Add(o.GetHeader().GetKey(), literal(o.GetHeader().GetValue()))
	}
}

// literal is the text of a value in Envoy's format, where "%%" stands for "%". What Envoy
// puts in only when the request is there (%REQ(…)%) stays as it is written.
func literal(format string) string { return strings.ReplaceAll(format, "%%", "%") }

// rewritten is the path with what the route puts in place of what it matched.
func (w *walk) rewritten(m *routev3.RouteMatch, prefix string, regex *matcherv3.RegexMatchAndSubstitute) string {
	path, query := w.Path, ""
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	switch {
	case regex != nil:
		return substituted(regex, path) + query
	case prefix == "":
		return w.Path
	}
	matched := len(path)
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		matched = len(p.Prefix)
	case *routev3.RouteMatch_PathSeparatedPrefix:
		matched = len(p.PathSeparatedPrefix)
	}
	return prefix + (path + query)[min(matched, len(path+query)):]
}

// groups finds the references to groups in a substitution of RE2.
var groups = regexp.MustCompile(`\\[0-9\\]|\$`)

// substituted replaces all that the expression matches; Go's expressions are those of RE2.
func substituted(r *matcherv3.RegexMatchAndSubstitute, text string) string {
	re, err := regexp.Compile(r.GetPattern().GetRegex())
	if err != nil {
		return text
	}
	return re.ReplaceAllString(text, groups.ReplaceAllStringFunc(r.GetSubstitution(), func(s string) string {
		switch s {
		case "$":
			return "$$"
		case `\\`:
			return `\`
		}
		return "${" + s[1:] + "}"
	}))
}

// location is where a redirect leads, as envoy.config.route.v3.RedirectAction has it.
func (w *walk) location(r *routev3.RedirectAction, m *routev3.RouteMatch) string {
	scheme := w.Scheme
	switch {
	case r.GetSchemeRedirect() != "":
		scheme = r.GetSchemeRedirect()
	case r.GetHttpsRedirect():
		scheme = "https"
	}
	path := w.rewritten(m, r.GetPrefixRewrite(), r.GetRegexRewrite())
	query := ""
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	if to := r.GetPathRedirect(); to != "" {
		path = to
		if strings.Contains(to, "?") {
			query = ""
		}
	}
	if r.GetStripQuery() {
		query = ""
	}
	return scheme + "://" + w.redirectedHost(r, scheme) + path + query
}

// redirectedHost is the host and port of a redirect's location: of the request's port
// nothing stays where another one is given, or where it was the default of another scheme.
func (w *walk) redirectedHost(r *routev3.RedirectAction, scheme string) string {
	port := ""
	if p := r.GetPortRedirect(); p != 0 {
		port = ":" + number(p)
	}
	if r.GetHostRedirect() != "" {
		return r.GetHostRedirect() + port
	}
	host := w.Authority
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		drop := port != ""
		if scheme != w.Scheme {
			drop = drop || slices.Contains([]string{"https:443", "http:80"}, w.Scheme+host[i:])
		}
		if drop {
			host = host[:i]
		}
	}
	return host + port
}
