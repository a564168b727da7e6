package telemetry

import (
	"cmp"
	"maps"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	otlpv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The names of logs whose provider gives none, as Istio has them.
const (
	otelLogName = "otel_envoy_accesslog"
	httpLogName = "http_envoy_accesslog"
	tcpLogName  = "tcp_envoy_accesslog"
)

// logTo is where a provider's access log goes, a file or a collector; false when it goes
// nowhere that the proxy can reach.
func (r Report) logTo(provider string) (proto.Message, bool) {
	if file, ok := r.logFile(provider); ok {
		return file, true
	}
	c, ok := r.config.LogCollector(provider)
	if !ok {
		return nil, false
	}
	if _, seen := mesh.BackendOf(r.Tracers, c.Host, c.Port); !seen {
		return nil, false // Envoy would refuse the listener for a cluster that it does not have
	}
	to := grpcTo(c.Host, resource.OutboundCluster(c.Host, c.Port, ""))
	switch p := c.Provider.GetProvider().(type) {
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyOtelAls:
		return r.otelLog(p.EnvoyOtelAls, to), true
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyHttpAls:
		a := p.EnvoyHttpAls
		return &grpcv3.HttpGrpcAccessLogConfig{
			CommonConfig:                    grpcLog(to, cmp.Or(a.GetLogName(), httpLogName), a.GetFilterStateObjectsToLog()),
			AdditionalRequestHeadersToLog:   a.GetAdditionalRequestHeadersToLog(),
			AdditionalResponseHeadersToLog:  a.GetAdditionalResponseHeadersToLog(),
			AdditionalResponseTrailersToLog: a.GetAdditionalResponseTrailersToLog(),
		}, r.http
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyTcpAls:
		a := p.EnvoyTcpAls
		return &grpcv3.TcpGrpcAccessLogConfig{CommonConfig: grpcLog(to, cmp.Or(a.GetLogName(), tcpLogName), a.GetFilterStateObjectsToLog())}, !r.http
	}
	return nil, false
}

func grpcLog(to *corev3.GrpcService, name string, state []string) *grpcv3.CommonGrpcAccessLogConfig {
	return &grpcv3.CommonGrpcAccessLogConfig{LogName: name, GrpcService: to, TransportApiVersion: corev3.ApiVersion_V3, FilterStateObjectsToLog: state}
}

// otelLog has the text of a log as the body of its records and the labels as their
// attributes. A format that Envoy would refuse counts as none.
func (r Report) otelLog(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyOpenTelemetryLogProvider, to *corev3.GrpcService) *otelv3.OpenTelemetryAccessLogConfig {
	text := p.GetLogFormat().GetText()
	if text == "" || !plausibleFormat(text) {
		text = textFormat
	}
	c := &otelv3.OpenTelemetryAccessLogConfig{GrpcService: to, LogName: cmp.Or(p.GetLogName(), otelLogName), Body: otelText(text)}
	labels := plausibleLabels(p.GetLogFormat().GetLabels()).GetFields()
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		value, ok := labels[name].GetKind().(*structpb.Value_StringValue)
		if !ok {
			continue
		}
		if c.Attributes == nil {
			c.Attributes = &otlpv1.KeyValueList{}
		}
		c.Attributes.Values = append(c.Attributes.Values, &otlpv1.KeyValue{Key: name, Value: otelText(value.StringValue)})
	}
	return c
}

func otelText(text string) *otlpv1.AnyValue {
	return &otlpv1.AnyValue{Value: &otlpv1.AnyValue_StringValue{StringValue: text}}
}

// logFindings tell of collectors of access logs in force that the proxy cannot send to, on
// the object that names them.
func logFindings(in Reporting, config *mesh.Config) (out []object.Finding) {
	for _, d := range []resource.Direction{resource.Inbound, resource.Outbound} {
		r := Report{Reporting: in, direction: d, config: config}
		for _, choice := range r.logChoices() {
			c, ok := config.LogCollector(choice.provider)
			if !ok {
				continue
			}
			if _, seen := mesh.BackendOf(in.Tracers, c.Host, c.Port); seen {
				continue
			}
			f := object.Finding{Object: config.Ref, Field: "defaultProviders.accessLogging", Code: object.CodeHostNotFound,
				Message: "no service " + portText(c.Host, c.Port) + " is visible to the workload; nothing is logged there: declare it, for servers outside of the mesh with a ServiceEntry"}
			for _, o := range in.Telemetries.Slice() {
				for i, e := range o.Spec.GetAccessLogging() {
					if r.inMode(e.GetMatch().GetMode()) && slices.ContainsFunc(e.GetProviders(), func(p *telemetryapi.ProviderRef) bool { return p.GetName() == choice.provider }) {
						f.Object, f.Field = o.Ref, indexed("spec.accessLogging", i)+".providers"
					}
				}
			}
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}
