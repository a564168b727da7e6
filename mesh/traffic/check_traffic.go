package traffic

import (
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// retryConditions are those of Envoy's router (x-envoy-retry-on and
// x-envoy-retry-grpc-on).
var retryConditions = []string{
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx", "refused-stream",
	"retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}

func (c *httpCheck) retries() {
	r := c.in.Retries
	if r == nil {
		return
	}
	if r.Attempts < 0 {
		c.report(object.CodeInvalid, ".retries.attempts", "%d is negative; the retries are ignored, and the mesh's default is in force: write 0 for none", r.Attempts)
		c.edit().Retries = nil
		return
	}
	if r.PerTryTimeout != nil && !c.duration(".retries.perTryTimeout", r.PerTryTimeout) {
		c.edit().Retries.PerTryTimeout = nil
	}
	if r.Backoff != nil && !c.duration(".retries.backoff", r.Backoff) {
		c.edit().Retries.Backoff = nil
	}
	var known []string
	words := strings.Split(r.RetryOn, ",")
	for _, w := range words {
		w = strings.TrimSpace(w)
		if code, err := strconv.Atoi(w); err == nil && code >= 100 && code <= 599 || w == "" || slices.Contains(retryConditions, w) {
			known = append(known, w)
			continue
		}
		c.report(object.CodeInvalid, ".retries.retryOn", "%q is neither a condition that Envoy knows nor a status; it is ignored: write for example 5xx, reset or 503", w)
	}
	if len(known) < len(words) {
		c.edit().Retries.RetryOn = strings.Join(known, ",")
	}
}

func (c *httpCheck) fault() {
	if d := c.in.Fault.GetDelay(); d != nil && !c.delay(d) {
		c.edit().Fault.Delay = nil
	}
	if a := c.in.Fault.GetAbort(); a != nil && !c.abort(a) {
		c.edit().Fault.Abort = nil
	}
}

func (c *ruleCheck) delay(d *networking.HTTPFaultInjection_Delay) bool {
	const field = ".fault.delay"
	switch t := d.HttpDelayType.(type) {
	case *networking.HTTPFaultInjection_Delay_FixedDelay:
		if !c.duration(field+".fixedDelay", t.FixedDelay) {
			return false
		}
	case *networking.HTTPFaultInjection_Delay_ExponentialDelay:
		c.report(object.CodeUnsupported, field+".exponentialDelay", "Envoy has no such delay; nothing is delayed: use fixedDelay")
		return false
	default:
		c.report(object.CodeInvalid, field, "it says not how long; nothing is delayed: set fixedDelay")
		return false
	}
	if d.Percentage == nil {
		return c.percent(field+".percent", float64(d.Percent)) //nolint:staticcheck // the field of old is still written
	}
	return c.percent(field+".percentage.value", d.Percentage.Value)
}

func (c *ruleCheck) abort(a *networking.HTTPFaultInjection_Abort) bool {
	const field = ".fault.abort"
	switch t := a.ErrorType.(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		if t.HttpStatus < 200 || t.HttpStatus > 599 {
			c.report(object.CodeInvalid, field+".httpStatus", "%d is not a status of a response; nothing is aborted: write one from 200 to 599", t.HttpStatus)
			return false
		}
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		if _, ok := GRPCStatus(t.GrpcStatus); !ok {
			c.report(object.CodeInvalid, field+".grpcStatus", "%q is not the name of a gRPC status; nothing is aborted: write for example UNAVAILABLE", t.GrpcStatus)
			return false
		}
	case *networking.HTTPFaultInjection_Abort_Http2Error:
		c.report(object.CodeUnsupported, field+".http2Error", "Envoy injects no errors of HTTP/2; nothing is aborted: use httpStatus or grpcStatus")
		return false
	default:
		c.report(object.CodeInvalid, field, "it says not with what; nothing is aborted: set httpStatus or grpcStatus")
		return false
	}
	return c.percent(field+".percentage.value", a.GetPercentage().GetValue())
}

// percent tells whether the value is a percentage; else what has it is left out.
func (c *ruleCheck) percent(field string, v float64) bool {
	if v >= 0 && v <= 100 {
		return true
	}
	c.report(object.CodeInvalid, field, "%v is not a percentage; what it is for is left out: write a number from 0 to 100", v)
	return false
}

func (c *httpCheck) mirrors() {
	r := c.in
	usable := func(field, percent string, d *networking.Destination, v float64) bool {
		if !DestinationHost(d.GetHost()) || d.GetPort() != nil && (d.Port.Number == 0 || d.Port.Number > 65535) {
			c.report(object.CodeInvalid, field, "the destination has no host of a service, or a port that is none; no requests are copied to it: name a service")
			return false
		}
		return c.percent(percent, v)
	}
	if r.Mirror != nil {
		percent := float64(r.MirrorPercent.GetValue()) //nolint:staticcheck // the field of old is still written
		field := ".mirrorPercent"
		if r.MirrorPercentage != nil {
			percent, field = r.MirrorPercentage.Value, ".mirrorPercentage.value"
		}
		if !usable(".mirror", field, r.Mirror, percent) {
			c.edit().Mirror = nil
		}
	}
	var kept []*networking.HTTPMirrorPolicy
	for i, m := range r.Mirrors {
		field := ".mirrors[" + strconv.Itoa(i) + "]"
		if usable(field+".destination", field+".percentage.value", m.GetDestination(), m.GetPercentage().GetValue()) {
			kept = append(kept, m)
		}
	}
	if len(kept) < len(r.Mirrors) {
		c.edit().Mirrors = kept
	}
}

func (c *httpCheck) cors() {
	p := c.in.CorsPolicy
	if p == nil {
		return
	}
	for _, l := range [][]string{p.AllowMethods, p.AllowHeaders, p.ExposeHeaders} {
		if slices.ContainsFunc(l, control) {
			c.report(object.CodeInvalid, ".corsPolicy", "a method or a header holds control characters; the policy is left out: remove them")
			c.edit().CorsPolicy = nil
			return
		}
	}
	var kept []*networking.StringMatch
	for i, o := range p.AllowOrigins {
		before := len(c.findings)
		bad := func(sub, format string, args ...any) {
			c.report(object.CodeInvalid, ".corsPolicy.allowOrigins["+strconv.Itoa(i)+"]"+sub, format+"; the origin is left out", args...)
		}
		if o.GetMatchType() == nil {
			bad("", "it is empty")
		}
		c.text(bad, "", o, false)
		if len(c.findings) == before {
			kept = append(kept, o)
		}
	}
	if len(kept) < len(p.AllowOrigins) {
		c.edit().CorsPolicy.AllowOrigins = kept
		c.edit().CorsPolicy.AllowOrigin = nil //nolint:staticcheck // it counts only without allowOrigins
	}
	if p.MaxAge != nil && (p.MaxAge.CheckValid() != nil || p.MaxAge.Seconds < 0) {
		c.report(object.CodeInvalid, ".corsPolicy.maxAge", "the duration is negative; the field is ignored: write 0s or more")
		c.edit().CorsPolicy.MaxAge = nil
	}
}
