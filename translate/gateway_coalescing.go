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
// one on a connection with the other, which knows none of them and answers 421 (misdirected).
func coalescingFindings(ports []mesh.RouterPort) (out []object.Finding) {
	for _, p := range ports {
		first := map[string]*traffic.Server{}
		told := map[object.Ref]bool{}
		for _, s := range p.Servers {
			name := certificateOf(s)
			if name == "" || s.Gateway.OfAPI() {
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
				Message: fmt.Sprintf("Gateway %s serves port %d with the same certificate; a client that speaks HTTP/2 may send requests for the hosts of the one on its connection to the other, and gets 421, after which browsers use a connection of its own and other clients may fail: put the hosts into one server, or use two certificates", older.Gateway.Name, p.Port)})
		}
	}
	return out
}

// certificateOf names the certificate of a server that ends HTTPS; "" when it has none of
// its own.
func certificateOf(s *traffic.Server) string {
	if s.Protocol != object.ProtocolHTTPS {
		return ""
	}
	if names := strings.Join(credentialNames(s.Spec.GetTls()), " "); names != "" {
		return s.Gateway.Namespace + "/" + names
	}
	return s.Spec.GetTls().GetServerCertificate()
}

// sharedCertificates are the certificates that several servers of a port have.
func sharedCertificates(servers []*traffic.Server) map[string]bool {
	shared := map[string]bool{}
	for _, s := range servers {
		if name := certificateOf(s); name != "" {
			_, again := shared[name]
			shared[name] = again
		}
	}
	return shared
}
