package translate

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// GatewayFindings tell what of the TLS settings of a Gateway cannot be served,
// whatever Secrets there are.
func GatewayFindings(g *traffic.Gateway, c *mesh.Config) []object.Finding {
	var out []object.Finding
	for _, s := range g.Servers {
		if !s.Protocol.IsTLS() {
			continue
		}
		switch s.Spec.Tls.GetMode() {
		case networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_AUTO_PASSTHROUGH:
			continue
		}
		if _, _, problem := serverSocket(c, s, ""); problem != "" {
			out = append(out, object.Finding{Object: g.Ref, Field: s.Field() + ".tls", Code: object.CodeInvalid, Message: problem})
		}
	}
	return out
}
