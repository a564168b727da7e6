package telemetry

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	detectorsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The tracers of stock Envoy that providers are made of.
const (
	zipkinTracer        = "envoy.tracers.zipkin"
	openTelemetryTracer = "envoy.tracers.opentelemetry"
	skyWalkingTracer    = "envoy.tracers.skywalking"
	datadogTracer       = "envoy.tracers.datadog"
)

// spanTimeout is how long a collector may take for a batch of spans where its
// provider does not say.
const spanTimeout = 5 * time.Second

// tracer is Envoy's tracer for a provider, with the length to which it cuts
// paths (0: no word on that); nil when there is none that the proxy can reach.
func (r Report) tracer(name string) (provider *tracev3.Tracing_Http, length uint32) {
	t, ok := r.config.Tracer(name)
	if !ok {
		return nil, 0
	}
	if _, ok := mesh.BackendOf(r.Tracers, t.Host, t.Port); !ok {
		return nil, 0
	}
	made := func(name string, config proto.Message, length uint32) (*tracev3.Tracing_Http, uint32) {
		return &tracev3.Tracing_Http{Name: name, ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: resource.Pack(config)}}, length
	}
	cluster := resource.OutboundCluster(t.Host, t.Port, "")
	switch p := t.Provider.GetProvider().(type) {
	case *meshconfig.MeshConfig_ExtensionProvider_Zipkin:
		return made(zipkinTracer, zipkin(p.Zipkin, t.Host, cluster), p.Zipkin.GetMaxTagLength())
	case *meshconfig.MeshConfig_ExtensionProvider_Opentelemetry:
		return made(openTelemetryTracer, r.openTelemetry(p.Opentelemetry, t.Host, cluster), p.Opentelemetry.GetMaxTagLength())
	case *meshconfig.MeshConfig_ExtensionProvider_Skywalking:
		c := &tracev3.SkyWalkingConfig{GrpcService: grpcTo(t.Host, cluster)} // it names itself by its node
		if token := p.Skywalking.GetAccessToken(); token != "" {
			c.ClientConfig = &tracev3.ClientConfig{BackendTokenSpecifier: &tracev3.ClientConfig_BackendToken{BackendToken: token}}
		}
		return made(skyWalkingTracer, c, 0)
	case *meshconfig.MeshConfig_ExtensionProvider_Datadog:
		return made(datadogTracer, &tracev3.DatadogConfig{CollectorCluster: cluster, CollectorHostname: t.Host, ServiceName: cmp.Or(r.serviceName(), "envoy")}, p.Datadog.GetMaxTagLength())
	}
	return nil, 0
}

// serviceName is what spans call the proxy; "" where listeners are shared and
// only the proxy itself knows. Injection writes it into the environment
// (OTEL_RESOURCE_ATTRIBUTES, DD_SERVICE), which beats what is said here.
func (r Report) serviceName() string {
	if r.Workload == "" {
		return ""
	}
	return r.Workload + "." + r.Namespace
}

func zipkin(p *meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider, host, cluster string) *tracev3.ZipkinConfig {
	c := &tracev3.ZipkinConfig{
		TraceId_128Bit:           !p.GetEnable_64BitTraceId(),
		SharedSpanContext:        wrapperspb.Bool(false),
		CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
		CollectorService:         spansOver(host, cmp.Or(p.GetPath(), "/api/v2/spans"), cluster, p.GetTimeout(), p.GetHeaders()),
	}
	if p.GetTraceContextOption() == meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider_USE_B3_WITH_W3C_PROPAGATION {
		c.TraceContextOption = tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
	}
	return c
}

func (r Report) openTelemetry(p *meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider, host, cluster string) *tracev3.OpenTelemetryConfig {
	c := &tracev3.OpenTelemetryConfig{ServiceName: r.serviceName()}
	if h := p.GetHttp(); h != nil {
		c.HttpService = spansOver(host, cmp.Or(h.GetPath(), "/v1/traces"), cluster, h.GetTimeout(), h.GetHeaders())
	} else {
		c.GrpcService = grpcTo(host, cluster)
		c.GrpcService.Timeout = resource.Positive(p.GetGrpc().GetTimeout())
		for _, h := range p.GetGrpc().GetInitialMetadata() {
			if sendable(h) {
				c.GrpcService.InitialMetadata = append(c.GrpcService.InitialMetadata, &corev3.HeaderValue{Key: h.GetName(), Value: h.GetValue()})
			}
		}
	}
	if c.ServiceName == "" || p.GetResourceDetectors().GetEnvironment() != nil {
		c.ResourceDetectors = append(c.ResourceDetectors, detector("environment", &detectorsv3.EnvironmentResourceDetectorConfig{}))
	}
	if p.GetResourceDetectors().GetDynatrace() != nil {
		c.ResourceDetectors = append(c.ResourceDetectors, detector("dynatrace", &detectorsv3.DynatraceResourceDetectorConfig{}))
	}
	return c
}

func detector(name string, config proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.resource_detectors." + name, TypedConfig: resource.Pack(config)}
}

func grpcTo(host, cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster, Authority: host},
	}}
}

// spansOver is a collector that spans are posted to.
func spansOver(host, path, cluster string, timeout *durationpb.Duration, headers []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader) *corev3.HttpService {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	s := &corev3.HttpService{HttpUri: &corev3.HttpUri{
		Uri: "http://" + host + path, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: durationpb.New(spanTimeout),
	}}
	if t := resource.Positive(timeout); t != nil {
		s.HttpUri.Timeout = t
	}
	for _, h := range headers {
		if sendable(h) {
			s.RequestHeadersToAdd = append(s.RequestHeadersToAdd, &corev3.HeaderValueOption{
				Header: &corev3.HeaderValue{Key: h.GetName(), Value: strings.ReplaceAll(h.GetValue(), "%", "%%")}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			})
		}
	}
	return s
}

// sendable tells whether a header of a provider has a value that is known here
// and that Envoy sends.
func sendable(h *meshconfig.MeshConfig_ExtensionProvider_HttpHeader) bool {
	return h.GetEnvName() == "" && traffic.SettableHeader(h.GetName(), h.GetValue())
}

func portText(host string, port uint32) string {
	return host + " with port " + strconv.FormatUint(uint64(port), 10)
}
