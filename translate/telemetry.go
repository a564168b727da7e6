package translate

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/proto"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Reporting is what is logged and counted of the traffic of one listener.
// Zero: what the mesh configuration asks for of every proxy. It can be
// compared.
type Reporting struct {
	// Telemetries are the objects that apply to the workload, farthest first
	// (mesh.World.TelemetriesOf).
	Telemetries mesh.List[*mesh.Telemetry]
	// Service is the one that the traffic is for where the listener knows it
	// (inbound); nil: the cluster's metadata tell.
	Service *registry.Service
	// Tracers are the services that spans may be sent to (mesh.View.Tracers).
	Tracers mesh.List[mesh.Backend]
	// Workload and Namespace name the proxy in spans where the listener is for
	// one workload only; empty: the proxy tells itself.
	Workload, Namespace string
	// MutualTLS tells whether the clients of the filter chain have proved who
	// they are by the mesh's mutual TLS; of inbound traffic only.
	MutualTLS bool

	local *mesh.Inbound // the workload, where the listener is for one only
}

// ReportingOf is what the sidecars of the view report of their outbound
// traffic.
func ReportingOf(v *mesh.View) Reporting {
	telemetries := v.ClientTelemetriesOf(v.Scope.Namespace, v.Labels())
	return Reporting{Telemetries: mesh.ListOf(telemetries...), Tracers: v.Tracers(telemetries)}
}

// report is Reporting with all that it depends on.
type report struct {
	Reporting
	direction Direction
	config    *mesh.Config
	http      bool
}

// accessLogs are the access loggers of one connection manager or TCP proxy:
// logs for people first, then counters.
func accessLogs(r report) []*accesslogv3.AccessLog {
	return append(logs(r), metrics(r)...)
}

// client tells whether the proxy reports as the caller, which gateways do too.
func (r report) client() bool { return r.direction != DirectionInbound }

// inMode tells whether an entry for a workload mode is about this traffic.
func (r report) inMode(m telemetry.WorkloadMode) bool {
	switch m {
	case telemetry.WorkloadMode_CLIENT:
		return r.client()
	case telemetry.WorkloadMode_SERVER:
		return !r.client()
	}
	return true
}

func accessLogger(name string, config proto.Message, filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLog {
	l := &accesslogv3.AccessLog{Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(config)}}
	switch len(filters) {
	case 0:
	case 1:
		l.Filter = filters[0]
	default:
		l.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{AndFilter: &accesslogv3.AndFilter{Filters: filters}}}
	}
	return l
}

// at lets a logger see only one moment in the life of a connection.
func at(moment accesslogdatav3.AccessLogType) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{Types: []accesslogdatav3.AccessLogType{moment}},
	}}
}
