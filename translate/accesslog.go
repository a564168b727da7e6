package translate

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/fairway-mesh/fairway/mesh"
)

// UnmatchedLogs are the loggers of a listener for connections that none of its
// filter chains takes, which nobody else would log.
func UnmatchedLogs(r Reporting, d Direction, c *mesh.Config) []*accesslogv3.AccessLog {
	return nil
}
