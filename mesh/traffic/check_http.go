package traffic

import (
	"slices"
	"strconv"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// httpCheck checks one http rule.
type httpCheck struct {
	*ruleCheck
	in   *networking.HTTPRoute // as it was written
	rule *networking.HTTPRoute // as it is served: in, or a copy of it
}

// edit is the rule for modification.
func (c *httpCheck) edit() *networking.HTTPRoute {
	if c.rule == c.in {
		c.rule = proto.CloneOf(c.in)
	}
	return c.rule
}

// CheckedRule is a rule as far as it can be served.
type CheckedRule struct {
	Rule     *networking.HTTPRoute
	Matches  []*networking.HTTPMatchRequest // of the rule, those that can be served
	Unusable bool                           // the rule as a whole cannot be served
	Findings []object.Finding
}

// CheckAPIRule checks a rule that is made of one of a route of the Gateway API, whose
// redirects may say nothing but their code. field is where the rule was written.
func CheckAPIRule(ref object.Ref, field string, rule *networking.HTTPRoute) CheckedRule {
	c := &ruleCheck{ref: ref, field: field, api: true}
	out := CheckedRule{Rule: checkHTTPRule(c, rule)}
	out.Unusable, out.Findings = c.unusable, c.findings
	out.Matches = slices.DeleteFunc(slices.Clone(out.Rule.Match), func(m *networking.HTTPMatchRequest) bool { return !c.match("", m) })
	return out
}

// CheckMatch checks one match of a rule by itself; false when it cannot be served.
func CheckMatch(ref object.Ref, field string, m *networking.HTTPMatchRequest) ([]object.Finding, bool) {
	c := &ruleCheck{ref: ref, field: field}
	ok := c.match("", m)
	return c.findings, ok
}

func checkHTTPRule(r *ruleCheck, rule *networking.HTTPRoute) *networking.HTTPRoute {
	c := &httpCheck{ruleCheck: r, in: rule, rule: rule}
	c.matches()
	c.action()
	if d := rule.Timeout; d != nil && !zero(d) && !c.duration(".timeout", d) {
		c.edit().Timeout = nil
	}
	c.headers()
	c.retries()
	c.fault()
	c.mirrors()
	c.cors()
	return c.rule
}

// action checks what becomes of the requests: one of route, redirect,
// directResponse and delegate.
func (c *httpCheck) action() {
	r := c.in
	ignored := func(by string, route, answer bool) {
		if route && len(r.Route) > 0 {
			c.report(object.CodeConflict, ".route", "%s is set as well and wins; the route is ignored: remove one of them", by)
		}
		if answer && r.DirectResponse != nil {
			c.report(object.CodeConflict, ".directResponse", "%s is set as well and wins; the response is ignored: remove one of them", by)
		}
		if r.Rewrite != nil && r.Delegate == nil {
			c.report(object.CodeConflict, ".rewrite", "%s sends no request on, so that there is none to rewrite; the rewrite is ignored: remove it", by)
		}
	}
	switch {
	case r.Delegate != nil:
		if r.Delegate.Name == "" {
			c.reject(".delegate.name", "the delegate has no name: name a VirtualService without hosts")
		}
		if r.Redirect != nil {
			c.report(object.CodeConflict, ".redirect", "delegate is set as well and wins; the redirect is ignored: remove one of them")
		}
		ignored("delegate", true, true)
		c.rewrite(r.Rewrite) // the delegate's rules inherit it
	case r.Redirect != nil:
		c.redirect(r.Redirect)
		ignored("redirect", true, true)
	case r.DirectResponse != nil:
		c.directResponse(r.DirectResponse)
		ignored("directResponse", true, false)
	case len(r.Route) > 0:
		var weights []int32
		for i, d := range r.Route {
			weights = append(weights, d.GetWeight())
			c.destination(".route["+strconv.Itoa(i)+"].destination", d.GetDestination())
		}
		c.weights(weights)
		c.rewrite(r.Rewrite)
	default:
		// Tools of progressive delivery write such rules for a moment, so that it is no error.
		c.unusable = true
		c.report(object.CodeUnsupported, "", "the rule is left out, it says nothing of what to do with requests: add route, redirect, directResponse or delegate")
	}
}

// DestinationHost tells whether a host can be that of a service.
func DestinationHost(host string) bool { return object.ValidHost(host) && host != "*" }

func (c *ruleCheck) destination(field string, d *networking.Destination) {
	if d.GetHost() == "" {
		c.reject(field+".host", "the destination has no host: name a service")
	} else if h := d.GetHost(); !DestinationHost(h) {
		c.reject(field+".host", "%q is no host of a service: write its name alone, and the port in destination.port.number", h)
	}
	if n := d.GetPort().GetNumber(); d.GetPort() != nil && (n == 0 || n > 65535) {
		c.reject(field+".port.number", "%d is no port: write one from 1 to 65535, or leave port out", n)
	}
}

// weights checks the shares of several destinations; one alone gets
// everything, whatever its weight.
func (c *ruleCheck) weights(weights []int32) {
	sum := int64(0)
	for i, w := range weights {
		if w < 0 {
			c.reject(".route["+strconv.Itoa(i)+"].weight", "the weight %d is negative: write 0 or more", w)
			return
		}
		sum += int64(w)
	}
	switch {
	case len(weights) < 2:
	case sum == 0:
		c.reject(".route", "no destination has a weight, so that none would get requests: give at least one a weight over 0")
	}
}

func (c *ruleCheck) redirect(r *networking.HTTPRedirect) {
	switch r.RedirectCode {
	case 0, 301, 302, 303, 307, 308:
	default:
		c.reject(".redirect.redirectCode", "%d is not a code of a redirect: write 301, 302, 303, 307 or 308", r.RedirectCode)
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		c.reject(".redirect.scheme", "%q is not a scheme of HTTP: write http or https", r.Scheme)
	}
	if r.Uri != "" && r.PrefixRewrite != "" {
		c.reject(".redirect", "uri and prefixRewrite exclude each other: remove one of them")
	}
	port, explicit := r.RedirectPort.(*networking.HTTPRedirect_Port)
	if explicit && (port.Port == 0 || port.Port > 65535) {
		c.reject(".redirect.port", "%d is no port: write one from 1 to 65535", port.Port)
	}
	if !c.api && r.Uri == "" && r.PrefixRewrite == "" && r.Authority == "" && r.Scheme == "" && !explicit {
		c.reject(".redirect", "the redirect leads to where the request came from: set uri, prefixRewrite, authority, scheme or port")
	}
	c.printable(".redirect.uri", r.Uri)
	c.printable(".redirect.prefixRewrite", r.PrefixRewrite)
	c.printable(".redirect.authority", r.Authority)
}

// maxBody is how long the body of a directResponse may be.
const maxBody = 1 << 20

func (c *ruleCheck) directResponse(r *networking.HTTPDirectResponse) {
	if r.Status < 200 || r.Status > 599 {
		c.reject(".directResponse.status", "%d is not a status of a response: write one from 200 to 599", r.Status)
	}
	if n := len(r.GetBody().GetString_()) + len(r.GetBody().GetBytes()); n > maxBody {
		c.reject(".directResponse.body", "the body has %d bytes: keep it within %d", n, maxBody)
	}
}

func (c *httpCheck) rewrite(r *networking.HTTPRewrite) {
	if r == nil {
		return
	}
	c.printable(".rewrite.uri", r.Uri)
	c.printable(".rewrite.authority", r.Authority)
	re := r.UriRegexRewrite
	if re == nil {
		return
	}
	if r.Uri != "" {
		c.report(object.CodeConflict, ".rewrite.uri", "uriRegexRewrite is set as well and wins; uri is ignored: remove one of them")
	}
	groups, err := c.checkRegex(re.Match)
	if err != nil {
		c.reject(".rewrite.uriRegexRewrite.match", "%v: write a regular expression in RE2 syntax", err)
		return
	}
	if err := checkSubstitution(re.Rewrite, groups); err != nil {
		c.reject(".rewrite.uriRegexRewrite.rewrite", "%v", err)
	}
}

// printable rejects the rule when the text could not stand in a header.
func (c *ruleCheck) printable(field, text string) {
	if control(text) {
		c.reject(field, "it holds a control character: remove that")
	}
}

func control(text string) bool {
	for _, r := range text {
		if unicode.IsControl(r) && r != '\t' {
			return true
		}
	}
	return false
}

// duration tells whether the duration is one to wait for, at least a
// millisecond; else it reports that the field is ignored.
func (c *ruleCheck) duration(field string, d *durationpb.Duration) bool {
	if d.CheckValid() == nil && d.AsDuration() >= time.Millisecond && d.AsDuration() <= MaxDuration {
		return true
	}
	c.report(object.CodeInvalid, field, "the duration is not between 1ms and %s; the field is ignored: write one that is", MaxDuration)
	return false
}

// MaxDuration is the longest that anything may take, ten years: far more than anybody
// waits, and less than Envoy can count (2^63 ns).
const MaxDuration = 10 * 365 * 24 * time.Hour

func zero(d *durationpb.Duration) bool { return d.GetSeconds() == 0 && d.GetNanos() == 0 }
