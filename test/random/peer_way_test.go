package random_test

import (
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fairway-mesh/fairway/internal/explain"
)

// onTheWay says what is done to a call on its way, in words that both control planes have
// in common.
func onTheWay(a explain.Answer) string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if a.Verdict != nil {
		say("policies: %s", a.Verdict.Decision)
	}
	say("%s", a.Location)
	for _, s := range a.To {
		if s.Sent != nil {
			say("%s gets %s %s %v, answers %v", s.Cluster, s.Sent.Host, s.Sent.Path, s.Sent.Header, s.Answer)
		}
	}
	r := a.Route
	if r == nil {
		slices.Sort(out)
		return strings.Join(out, "; ")
	}
	if d := r.GetDirectResponse(); d != nil {
		say("answers %s with %v", d, a.Changes)
	}
	if x := r.GetRoute(); x != nil {
		say("timeout %s", x.GetTimeout().AsDuration())
		for _, m := range x.RequestMirrorPolicies {
			say("mirror %s %s", m.Cluster, inWords(m.RuntimeFraction.GetDefaultValue()))
		}
		say("retry %s", retryText(x.RetryPolicy, a.VirtualHost.GetRetryPolicy()))
	}
	fault := &faultv3.HTTPFault{}
	for _, any := range r.TypedPerFilterConfig {
		cors := &corsv3.CorsPolicy{}
		switch {
		case any.MessageIs(fault) && any.UnmarshalTo(fault) == nil:
			say("fault %s", inWords(withoutShares(fault)))
		case any.MessageIs(cors) && any.UnmarshalTo(cors) == nil:
			say("cors %s", inWords(cors))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// inWords is a message as a text, with every share in millionths, of which the API has none
// where it says nothing.
func inWords(m proto.Message) string {
	m = proto.Clone(m)
	inMillionths(m.ProtoReflect())
	return strings.ReplaceAll(prototext.MarshalOptions{}.Format(m), "  ", " ") // which has one space or two
}

func inMillionths(m protoreflect.Message) {
	if p, ok := m.Interface().(*typev3.FractionalPercent); ok {
		p.Numerator *= map[typev3.FractionalPercent_DenominatorType]uint32{typev3.FractionalPercent_HUNDRED: 10000, typev3.FractionalPercent_TEN_THOUSAND: 100, typev3.FractionalPercent_MILLION: 1}[p.Denominator]
		p.Denominator = typev3.FractionalPercent_MILLION
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() {
			inMillionths(v.Message())
		}
		return true
	})
}

// withoutShares takes the faults out that meet no request.
func withoutShares(f *faultv3.HTTPFault) *faultv3.HTTPFault {
	if f.GetDelay().GetPercentage().GetNumerator() == 0 {
		f.Delay = nil
	}
	if f.GetAbort().GetPercentage().GetNumerator() == 0 {
		f.Abort = nil
	}
	return f
}

// retryText is a retry policy without what is Fairway's own by default.
func retryText(p, ofHost *routev3.RetryPolicy) string {
	if p == nil {
		p = ofHost
	}
	if p == nil || p.NumRetries != nil && p.NumRetries.Value == 0 {
		return ""
	}
	p = proto.Clone(p).(*routev3.RetryPolicy)
	on := slices.DeleteFunc(strings.Split(p.RetryOn, ","), func(s string) bool { return s == "reset-before-request" || s == "" })
	slices.Sort(on)
	p.RetryOn = strings.Join(on, ",")
	if len(p.RetryHostPredicate) == 0 { // without one no host is passed over
		p.HostSelectionRetryMaxAttempts = 0
	}
	return inWords(p)
}
