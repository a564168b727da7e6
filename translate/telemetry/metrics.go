package telemetry

import (
	"maps"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
)

// prometheus is the name of the provider that every mesh has.
const prometheus = "prometheus"

// metric is one of Istio's standard metrics as stock Envoy can make it.
type metric struct {
	id     telemetryapi.MetricSelector_IstioMetric
	name   string
	http   bool
	value  string // of a histogram or, with bytes, of a counter; "" counts one
	unit   statsv3.Config_Histogram_Unit
	opened bool // counted when the connection opens, not when it ends
}

// standardMetrics in the order in which they are sent. What Istio counts of
// the messages in gRPC streams, an access logger does not see.
var standardMetrics = []metric{
	{id: telemetryapi.MetricSelector_REQUEST_COUNT, name: "requests_total", http: true},
	{id: telemetryapi.MetricSelector_REQUEST_DURATION, name: "request_duration_milliseconds", http: true, value: "%DURATION%", unit: statsv3.Config_Histogram_Milliseconds},
	{id: telemetryapi.MetricSelector_REQUEST_SIZE, name: "request_bytes", http: true, value: "%BYTES_RECEIVED%", unit: statsv3.Config_Histogram_Bytes},
	{id: telemetryapi.MetricSelector_RESPONSE_SIZE, name: "response_bytes", http: true, value: "%BYTES_SENT%", unit: statsv3.Config_Histogram_Bytes},
	{id: telemetryapi.MetricSelector_TCP_OPENED_CONNECTIONS, name: "tcp_connections_opened_total", opened: true},
	{id: telemetryapi.MetricSelector_TCP_CLOSED_CONNECTIONS, name: "tcp_connections_closed_total"},
	{id: telemetryapi.MetricSelector_TCP_SENT_BYTES, name: "tcp_sent_bytes_total", value: "%BYTES_SENT%"},
	{id: telemetryapi.MetricSelector_TCP_RECEIVED_BYTES, name: "tcp_received_bytes_total", value: "%BYTES_RECEIVED%"},
}

// metrics are the loggers that count: Istio's metrics with Istio's labels,
// from stock Envoy's stats access logger. Envoy writes them as
// "envoy_istio_requests_total"; a scrape configuration takes the prefix off.
func metrics(r Report) []*accesslogv3.AccessLog {
	if !r.counts() {
		return nil
	}
	at1, at2 := &statsv3.Config{StatPrefix: "istio"}, &statsv3.Config{StatPrefix: "istio"} // 1.38 knows no stats_scope
	standard := r.standardTags()
	for _, m := range standardMetrics {
		if m.http != r.http {
			continue
		}
		tags, on := r.tagsOf(m, standard)
		if !on {
			continue
		}
		stat := &statsv3.Config_Stat{Name: m.name, Tags: tags}
		switch {
		case m.opened:
			at1.Counters = append(at1.Counters, &statsv3.Config_Counter{Stat: stat, ValueFixed: wrapperspb.UInt64(1)})
		case m.value == "":
			at2.Counters = append(at2.Counters, &statsv3.Config_Counter{Stat: stat, ValueFixed: wrapperspb.UInt64(1)})
		case m.http:
			at2.Histograms = append(at2.Histograms, &statsv3.Config_Histogram{Stat: stat, Unit: m.unit, ValueFormat: m.value})
		default:
			at2.Counters = append(at2.Counters, &statsv3.Config_Counter{Stat: stat, ValueFormat: m.value})
		}
	}
	var out []*accesslogv3.AccessLog
	add := func(c *statsv3.Config, moment accesslogdatav3.AccessLogType) {
		switch {
		case len(c.Counters)+len(c.Histograms) == 0:
		case r.http:
			out = append(out, accessLogger("envoy.access_loggers.stats", c))
		default:
			out = append(out, accessLogger("envoy.access_loggers.stats", c, at(moment)))
		}
	}
	add(at1, accesslogdatav3.AccessLogType_TcpUpstreamConnected)
	add(at2, accesslogdatav3.AccessLogType_TcpConnectionEnd)
	return out
}

// CountsTCP tells whether connections are counted when they open.
func (r Report) CountsTCP() bool {
	_, on := r.tagsOf(metric{id: telemetryapi.MetricSelector_TCP_OPENED_CONNECTIONS}, nil)
	return !r.http && r.counts() && on
}

// countsAny tells whether a metric is counted of what the listener serves.
func (r Report) countsAny() bool {
	return r.counts() && slices.ContainsFunc(standardMetrics, func(m metric) bool {
		_, on := r.tagsOf(m, nil)
		return m.http == r.http && on
	})
}

// counts tells whether there are metrics at all. As Istio is installed there
// are; the providers of the nearest Telemetry that names any, else
// MeshConfig.defaultProviders.metrics, may leave Prometheus out.
func (r Report) counts() bool {
	providers := r.config.GetDefaultProviders().GetMetrics()
	for _, t := range r.Telemetries.Slice() {
		for _, m := range t.Spec.GetMetrics() {
			if len(m.GetProviders()) > 0 {
				providers = nil
				for _, p := range m.GetProviders() {
					providers = append(providers, p.GetName())
				}
			}
		}
	}
	if len(providers) == 0 {
		return true
	}
	return slices.ContainsFunc(providers, func(name string) bool {
		if name == prometheus {
			return true
		}
		for _, p := range r.config.GetExtensionProviders() {
			if p.GetName() == name && p.GetPrometheus() != nil {
				return true
			}
		}
		return false
	})
}

// tagsOf are the labels of a metric, and whether it is counted: the standard
// ones, unless Telemetry objects change either, the nearest last.
func (r Report) tagsOf(m metric, standard []*statsv3.Config_Tag) (tags []*statsv3.Config_Tag, on bool) {
	on, tags = true, slices.Clone(standard)
	for _, t := range r.Telemetries.Slice() {
		for _, l := range t.Spec.GetMetrics() {
			for _, o := range l.GetOverrides() {
				if !r.overrides(o.GetMatch(), m) {
					continue
				}
				if o.GetDisabled() != nil {
					on = !o.GetDisabled().GetValue()
				}
				for _, name := range slices.Sorted(maps.Keys(o.GetTagOverrides())) {
					tags = overrideTag(tags, name, o.GetTagOverrides()[name])
				}
			}
		}
	}
	return tags, on
}

func (r Report) overrides(s *telemetryapi.MetricSelector, m metric) bool {
	if !r.inMode(s.GetMode()) || s.GetCustomMetric() != "" && s.GetCustomMetric() != "istio_"+m.name && s.GetCustomMetric() != m.name {
		return false
	}
	return s.GetCustomMetric() != "" || s.GetMetric() == telemetryapi.MetricSelector_ALL_METRICS || s.GetMetric() == m.id
}

func overrideTag(tags []*statsv3.Config_Tag, name string, o *telemetryapi.MetricsOverrides_TagOverride) []*statsv3.Config_Tag {
	i := slices.IndexFunc(tags, func(t *statsv3.Config_Tag) bool { return t.Name == name })
	if o.GetOperation() == telemetryapi.MetricsOverrides_TagOverride_REMOVE {
		if i >= 0 {
			tags = slices.Delete(tags, i, i+1)
		}
		return tags
	}
	expression, err := tagExpression(o.GetValue())
	if err != nil || name == "" {
		return tags
	}
	value := "%CEL(" + expression + ")%"
	if i >= 0 {
		tags[i] = tag(name, value)
		return tags
	}
	return append(tags, tag(name, value))
}
