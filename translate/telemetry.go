package translate

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/fairway-mesh/fairway/mesh"
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
	Service *mesh.Service
	// MutualTLS tells whether the clients of the filter chain have proved who
	// they are by the mesh's mutual TLS; of inbound traffic only.
	MutualTLS bool

	local *mesh.Inbound // the workload, where the listener is for one only
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
	return nil
}

// countsTCP tells whether connections are counted when they open.
func countsTCP(r report) bool { return false }
