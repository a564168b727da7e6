package translate

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
)

// GatewayFindings tell what of the TLS settings of a Gateway cannot be served,
// whatever Secrets there are.
func GatewayFindings(g *mesh.Gateway, c *mesh.Config) []mesh.Finding {
	var out []mesh.Finding
	for _, s := range g.Servers {
		if !s.Protocol.IsTLS() {
			continue
		}
		switch s.Spec.Tls.GetMode() {
		case networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_AUTO_PASSTHROUGH:
			continue
		}
		if _, _, problem := serverSocket(c, s); problem != "" {
			out = append(out, mesh.Finding{Object: g.Ref, Field: s.Field() + ".tls", Code: mesh.CodeInvalid, Message: problem})
		}
	}
	return out
}
