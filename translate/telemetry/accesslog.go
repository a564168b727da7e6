package telemetry

import (
	"maps"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// envoyProvider is the name of the access log provider that every mesh has: it
// writes to standard output.
const envoyProvider = "envoy"

// meshLog is the access log of the mesh configuration (accessLogFile), which
// is not a provider: a name that nobody gives one, not even by leaving it out.
const meshLog = "\x00"

// logChoice is one access log that a workload writes.
type logChoice struct {
	provider string // meshLog or the name of a provider
	filter   string // expression that a request has to satisfy; "": none
}

// logChoices is what MeshConfig and the Telemetry objects make of access
// logging for this traffic, the nearest last: an entry that names providers
// replaces what was chosen farther away, one that names none changes it.
func (r Report) logChoices() []logChoice {
	defaults := r.defaultLogs()
	chosen := slices.Clone(defaults)
	for _, t := range r.Telemetries.Slice() {
		named := false
		for _, e := range t.Spec.GetAccessLogging() {
			if !r.inMode(e.GetMatch().GetMode()) {
				continue
			}
			switch {
			case len(e.GetProviders()) > 0:
				if !named {
					chosen, named = nil, true
				}
				for _, p := range e.GetProviders() {
					if !e.GetDisabled().GetValue() {
						chosen = append(chosen, logChoice{p.GetName(), e.GetFilter().GetExpression()})
					}
				}
			case e.GetDisabled().GetValue():
				chosen = nil
			default:
				if len(chosen) == 0 {
					chosen = slices.Clone(defaults)
				}
				if len(chosen) == 0 {
					chosen = []logChoice{{provider: envoyProvider}}
				}
				for i := range chosen {
					if f := e.GetFilter().GetExpression(); f != "" {
						chosen[i].filter = f
					}
				}
			}
		}
	}
	return chosen
}

func (r Report) defaultLogs() []logChoice {
	var out []logChoice
	for _, p := range r.config.GetDefaultProviders().GetAccessLogging() {
		out = append(out, logChoice{provider: p})
	}
	if len(out) == 0 && r.config.GetAccessLogFile() != "" {
		out = append(out, logChoice{provider: meshLog})
	}
	return out
}

// logs are the loggers for people.
func logs(r Report) []*accesslogv3.AccessLog {
	var out []*accesslogv3.AccessLog
	for _, c := range r.logChoices() {
		config, ok := r.logTo(c.provider)
		if !ok {
			continue
		}
		var filters []*accesslogv3.AccessLogFilter
		if plausibleExpression(c.filter) {
			filters = append(filters, satisfying(c.filter))
		}
		if !r.http { // once, not also when it opens
			filters = append(filters, at(accesslogdatav3.AccessLogType_TcpConnectionEnd))
		}
		out = append(out, logger(config, filters...))
	}
	return out
}

// logger names a logger by where it writes.
func logger(config proto.Message, filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLog {
	name := "envoy.access_loggers.file"
	switch config.(type) {
	case *streamv3.StdoutAccessLog:
		name = "envoy.access_loggers.stdout"
	case *streamv3.StderrAccessLog:
		name = "envoy.access_loggers.stderr"
	case *otelv3.OpenTelemetryAccessLogConfig:
		name = "envoy.access_loggers.open_telemetry"
	case *grpcv3.HttpGrpcAccessLogConfig:
		name = "envoy.access_loggers.http_grpc"
	case *grpcv3.TcpGrpcAccessLogConfig:
		name = "envoy.access_loggers.tcp_grpc"
	}
	return accessLogger(name, config, filters...)
}

// UnmatchedLogs are the loggers of a listener for connections that none of its
// filter chains takes, which nobody else would log.
func UnmatchedLogs(in Reporting, d resource.Direction, c *mesh.Config) []*accesslogv3.AccessLog {
	r := Report{Reporting: in, direction: d, config: c}
	var out []*accesslogv3.AccessLog
	for _, choice := range r.logChoices() {
		if config, ok := r.logTo(choice.provider); ok {
			out = append(out, logger(config, &accesslogv3.AccessLogFilter{
				FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"NR"}}},
			}))
		}
	}
	return out
}

// satisfying lets only requests through for which the expression holds.
func satisfying(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
		Name:       "envoy.access_loggers.extension_filters.cel",
		ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: resource.Pack(&celv3.ExpressionFilter{Expression: expression})},
	}}}
}

func telemetryFindings(t *mesh.Telemetry, c *mesh.Config) (out []object.Finding) {
	found := func(field string, code object.Code, message string) {
		out = append(out, object.Finding{Object: t.Ref, Field: field, Code: code, Message: message})
	}
	r := Report{config: c}
	for i, e := range t.Spec.GetAccessLogging() {
		field := indexed("spec.accessLogging", i)
		for _, p := range e.GetProviders() {
			_, file := r.logFile(p.GetName())
			if _, ok := c.LogCollector(p.GetName()); !ok && !file {
				found(field+".providers", object.CodeProviderMissing, "provider \""+p.GetName()+"\" is none of the mesh configuration that takes access logs; nothing is logged for it: use envoy, or one of envoyFileAccessLog, envoyOtelAls, envoyHttpAls or envoyTcpAls, these with a service and a port")
			}
		}
		if f := e.GetFilter(); f != nil {
			if err := checkExpression(f.GetExpression()); err != nil {
				found(field+".filter.expression", object.CodeInvalid, err.Error()+"; everything is logged: correct the expression")
			}
		}
	}
	for i, m := range t.Spec.GetMetrics() {
		if m.GetReportingInterval() != nil {
			found(indexed("spec.metrics", i)+".reportingInterval", object.CodeUnsupported, "the field is not acted upon: metrics are scraped, and as new as they are then; take it out")
		}
		for j, o := range m.GetOverrides() {
			for _, name := range slices.Sorted(maps.Keys(o.GetTagOverrides())) {
				v := o.GetTagOverrides()[name]
				if v.GetOperation() != telemetryapi.MetricsOverrides_TagOverride_UPSERT {
					continue
				}
				if _, err := tagExpression(v.GetValue()); err != nil {
					found(indexed(indexed("spec.metrics", i)+".overrides", j)+".tagOverrides["+name+"].value", object.CodeInvalid, err.Error()+"; the label stays as it is")
				}
			}
		}
	}
	return append(out, tracingFindings(t, c)...)
}
