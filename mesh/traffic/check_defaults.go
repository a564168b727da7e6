package traffic

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// CheckDefaults checks what a mesh configuration says for the hosts whose rules do not:
// defaultTrafficPolicy and localityLbSetting. What cannot be served is taken out of it,
// with a finding, as it would be out of a DestinationRule.
func CheckDefaults(ref object.Ref, config *meshconfig.MeshConfig) []object.Finding {
	c := &destinationCheck{ref: ref}
	if d := config.GetDefaultTrafficPolicy(); d != nil {
		c.connectionPool("defaultTrafficPolicy.connectionPool", d.ConnectionPool)
		c.outlierDetection("defaultTrafficPolicy.outlierDetection", d.OutlierDetection)
	}
	c.locality("localityLbSetting", config.LocalityLbSetting)
	return c.findings
}
