package telemetry

import (
	"maps"
	"slices"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// defaultSampling is the part of requests that is traced where nobody says
// how many, in percent.
const defaultSampling = 1.0

// traceChoice is what MeshConfig and the Telemetry objects make of tracing for
// one direction of a workload's traffic.
type traceChoice struct {
	provider string // "": mesh.ProxyTracer
	disabled bool
	sampling float64 // percent
	tags     map[string]*telemetryapi.Tracing_CustomTag
	istio    bool // Istio's own tags
	byID     bool // the request ID says whether a request is traced
}

// traceChoice takes the nearest word on each setting; lists and maps are
// replaced, not merged.
func (r Report) traceChoice() traceChoice {
	proxy := r.config.GetDefaultConfig().GetTracing()
	c := traceChoice{provider: mesh.ProxyTracer, sampling: defaultSampling, istio: true, byID: true}
	if providers := r.config.GetDefaultProviders().GetTracing(); len(providers) > 0 {
		c.provider = providers[0]
	}
	if s := proxy.GetSampling(); s > 0 && s <= 100 {
		c.sampling = s
	}
	if t := proxy.GetEnableIstioTags(); t != nil {
		c.istio = t.GetValue()
	}
	for _, t := range r.Telemetries.Slice() {
		for _, e := range t.Spec.GetTracing() {
			if r.inMode(e.GetMatch().GetMode()) {
				c.override(e)
			}
		}
	}
	return c
}

func (c *traceChoice) override(e *telemetryapi.Tracing) {
	if p := e.GetProviders(); len(p) > 0 {
		c.provider = p[0].GetName()
	}
	if d := e.GetDisableSpanReporting(); d != nil {
		c.disabled = d.GetValue()
	}
	if e.GetCustomTags() != nil {
		c.tags = e.GetCustomTags()
	}
	if s := e.GetRandomSamplingPercentage(); s != nil && possiblePercentage(s.GetValue()) {
		c.sampling = s.GetValue()
	}
	if b := e.GetUseRequestIdForTraceSampling(); b != nil {
		c.byID = b.GetValue()
	}
	if b := e.GetEnableIstioTags(); b != nil {
		c.istio = b.GetValue()
	}
}

func possiblePercentage(f float64) bool { return f >= 0 && f <= 100 }

// Tracing is what a connection manager traces, and where it sends spans to;
// nil: nothing. A tracer whose service the proxy does not see is none: Envoy
// would refuse the listener for a cluster that it does not have.
func (r Report) Tracing() *hcmv3.HttpConnectionManager_Tracing {
	c := r.traceChoice()
	if c.disabled {
		return nil
	}
	provider, length := r.tracer(c.provider)
	if provider == nil {
		return nil
	}
	t := &hcmv3.HttpConnectionManager_Tracing{
		ClientSampling:  &typev3.Percent{Value: 100},
		OverallSampling: &typev3.Percent{Value: 100},
		RandomSampling:  &typev3.Percent{Value: c.sampling},
		Provider:        provider,
		CustomTags:      r.spanTags(c),
	}
	if provider.GetName() == skyWalkingTracer { // it counts on a span of each side of the proxy
		t.SpawnUpstreamSpan = wrapperspb.Bool(true)
	}
	if length == 0 {
		length = r.config.GetDefaultConfig().GetTracing().GetMaxPathTagLength()
	}
	if length != 0 {
		t.MaxPathTagLength = wrapperspb.UInt32(length)
	}
	return t
}

// RequestID keeps Envoy from reading the decision to trace out of request IDs
// that somebody else wrote; nil: it does so, which is its default.
func (r Report) RequestID() *hcmv3.RequestIDExtension {
	if r.traceChoice().byID {
		return nil
	}
	return &hcmv3.RequestIDExtension{TypedConfig: resource.Pack(&uuidv3.UuidRequestIdConfig{UseRequestIdForTraceSampling: wrapperspb.Bool(false)})}
}

// tracingFindings tell what of the tracing of a Telemetry object is not in
// force.
func tracingFindings(t *mesh.Telemetry, c *mesh.Config) (out []object.Finding) {
	for i, e := range t.Spec.GetTracing() {
		field := indexed("spec.tracing", i)
		found := func(at string, code object.Code, message string) {
			out = append(out, object.Finding{Object: t.Ref, Field: field + at, Code: code, Message: message})
		}
		for j, p := range e.GetProviders() {
			if j > 0 {
				found(".providers", object.CodeUnsupported, "more than one provider; spans go to the first only: name one")
				break
			}
			if _, ok := c.Tracer(p.GetName()); !ok {
				found(".providers", object.CodeProviderMissing, "provider \""+p.GetName()+"\" is none of the mesh configuration that takes spans; no spans are reported: use one of zipkin, opentelemetry, skywalking or datadog with a service and a port")
			}
		}
		if s := e.GetRandomSamplingPercentage(); s != nil && !possiblePercentage(s.GetValue()) {
			found(".randomSamplingPercentage", object.CodeInvalid, "not from 0 to 100; it is ignored: write a percentage")
		}
		for _, name := range slices.Sorted(maps.Keys(e.GetCustomTags())) {
			if _, problem := spanTag(name, e.GetCustomTags()[name]); problem != "" {
				found(".customTags["+name+"]", object.CodeInvalid, problem+"; the tag is left out")
			}
		}
		if e.GetDisableContextPropagation().GetValue() {
			found(".disableContextPropagation", object.CodeUnsupported, "stock Envoy cannot keep trace headers from going on; remove them with a VirtualService's headers.request.remove")
		}
	}
	return out
}

// tracerFindings tell of a tracer in force that the proxy cannot send to, on
// the object that names it.
func tracerFindings(in Reporting, config *mesh.Config) (out []object.Finding) {
	for _, d := range []resource.Direction{resource.Inbound, resource.Outbound} {
		r := Report{Reporting: in, direction: d, config: config}
		c := r.traceChoice()
		t, ok := config.Tracer(c.provider)
		if !ok || c.disabled {
			continue
		}
		if _, seen := mesh.BackendOf(in.Tracers, t.Host, t.Port); seen {
			continue
		}
		f := object.Finding{Object: config.Ref, Field: "extensionProviders", Code: object.CodeHostNotFound, Missing: object.Ref{Kind: object.KindHost, Name: t.Host},
			Message: "no service " + portText(t.Host, t.Port) + " is visible to the workload; no spans are reported: declare it, for servers outside of the mesh with a ServiceEntry"}
		for _, o := range in.Telemetries.Slice() {
			for i, e := range o.Spec.GetTracing() {
				if len(e.GetProviders()) > 0 && r.inMode(e.GetMatch().GetMode()) {
					f.Object, f.Field = o.Ref, indexed("spec.tracing", i)+".providers"
				}
			}
		}
		if len(out) == 0 || out[0] != f {
			out = append(out, f)
		}
	}
	return out
}
