package telemetry

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/proto"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
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
	// Local is the workload, where the listener is for one only.
	Local *mesh.Inbound
}

// ReportingOf is what the sidecars of the view report of their outbound
// traffic.
func ReportingOf(v *mesh.View) Reporting {
	telemetries := v.ClientTelemetriesOf(v.Scope.Namespace, v.Labels())
	return Reporting{Telemetries: mesh.ListOf(telemetries...), Tracers: v.Tracers(telemetries)}
}

// Findings tell what is not in force of what is to be logged, counted
// and traced of the traffic of a workload.
func Findings(in Reporting, config *mesh.Config) (out []object.Finding) {
	for _, t := range in.Telemetries.Slice() {
		out = append(out, telemetryFindings(t, config)...)
	}
	return slices.Concat(out, tracerFindings(in, config), logFindings(in, config))
}

// Report is Reporting with all that it depends on: the way the traffic goes,
// the mesh configuration, and whether requests or connections are told of.
type Report struct {
	Reporting
	direction resource.Direction
	config    *mesh.Config
	http      bool
	to        destination
}

// destination is what is known about where all the traffic of a listener goes.
// Each format that a label does without saves memory in every listener.
type destination struct {
	described bool   // each endpoint tells its workload
	nobody    string // the cluster, which is no service's; "": it may be one's
}

// ToDescribed is the report of what goes only to clusters whose endpoints all
// tell their workload, as those do that the control plane sends.
func (r Report) ToDescribed() Report {
	r.to = destination{described: true}
	return r
}

// ToNobody is the report of what goes only to a cluster that is no service's.
func (r Report) ToNobody(cluster string) Report {
	r.to = destination{nobody: cluster}
	return r
}

// NewReport is what the listeners of one direction report of requests (http)
// or of connections.
func NewReport(of Reporting, direction resource.Direction, config *mesh.Config, http bool) Report {
	return Report{Reporting: of, direction: direction, config: config, http: http}
}

// AccessLogs are the access loggers of one connection manager or TCP proxy:
// logs for people first, then counters.
func (r Report) AccessLogs() []*accesslogv3.AccessLog {
	return append(logs(r), metrics(r)...)
}

// client tells whether the proxy reports as the caller, which gateways do too.
func (r Report) client() bool { return r.direction != resource.Inbound }

// inMode tells whether an entry for a workload mode is about this traffic.
func (r Report) inMode(m telemetryapi.WorkloadMode) bool {
	switch m {
	case telemetryapi.WorkloadMode_CLIENT:
		return r.client()
	case telemetryapi.WorkloadMode_SERVER:
		return !r.client()
	}
	return true
}

func accessLogger(name string, config proto.Message, filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLog {
	l := &accesslogv3.AccessLog{Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: resource.Pack(config)}}
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
