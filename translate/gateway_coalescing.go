package translate

import (
	"fmt"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// coalescingFindings tell of Gateways that serve HTTPS with the certificate of an older
// one on the same port: a client that speaks HTTP/2 may send requests for the hosts of the
// one on a connection with the other, which knows none of them.
func coalescingFindings(ports []mesh.RouterPort) (out []object.Finding) {
	for _, p := range ports {
		first := map[string]*traffic.Server{}
		told := map[object.Ref]bool{}
		for _, s := range p.Servers {
			name := strings.Join(credentialNames(s.Spec.GetTls()), " ")
			if s.Protocol != object.ProtocolHTTPS || name == "" || s.Gateway.OfAPI() {
				continue
			}
			older := first[name]
			if older == nil {
				first[name] = s
				continue
			}
			if older.Gateway.Ref == s.Gateway.Ref || told[s.Gateway.Ref] {
				continue
			}
			told[s.Gateway.Ref] = true
			out = append(out, object.Finding{Object: s.Gateway.Ref, Field: s.FieldOf("tls.credentialName"), Code: object.CodeSharedCertificate, Winner: older.Gateway.Ref,
				Message: fmt.Sprintf("Gateway %s serves port %d with the same certificate; a client that speaks HTTP/2 may send requests for the hosts of the one on its connection to the other, and gets 404: put the servers into one Gateway, or use two certificates", older.Gateway.Name, p.Port)})
		}
	}
	return out
}
