package translate

import (
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// claimFindings tell of rules that match claims on a router that reads no tokens, each
// VirtualService once for a Gateway.
func (b *gatewayBuilder) claimFindings(ports []mesh.RouterPort) (out []object.Finding) {
	if b.Authenticates {
		return nil
	}
	type bound struct {
		vs      *traffic.VirtualService
		gateway string
	}
	told := map[bound]bool{}
	for _, p := range ports {
		for _, s := range p.Servers {
			for _, x := range b.boundTo(s) {
				if k := (bound{x.VirtualService, s.Gateway.Name}); !told[k] {
					told[k] = true
					out = append(out, x.VirtualService.Unauthenticated(s.Gateway.Name)...)
				}
			}
		}
	}
	return out
}
