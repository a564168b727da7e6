package translate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// coalescingFindings tell of Gateways that serve HTTPS with the certificate of an older
// one on the same port: a client that speaks HTTP/2 may send requests for the hosts of the
// one on a connection with the other, which knows none of them and answers 421 (misdirected).
func coalescingFindings(ports []mesh.RouterPort, namespace string) (out []object.Finding) {
	for _, p := range ports {
		first := map[string]*traffic.Server{}
		told := map[object.Ref]bool{}
		for _, s := range p.Servers {
			name := certificateOf(s, namespace)
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

// certificateOf names the certificates of a server that ends HTTPS, those of Secrets as the
// router's pods, which are of the namespace, ask for them; "" when it has none of its own.
func certificateOf(s *traffic.Server, namespace string) string {
	if s.Protocol != object.ProtocolHTTPS {
		return ""
	}
	names := slices.Clone(credentialNames(s.Spec.GetTls()))
	if len(names) == 0 {
		return s.Spec.GetTls().GetServerCertificate()
	}
	for i, name := range names {
		if !s.Gateway.OfAPI() { // whose names say the namespace
			names[i], _ = ownSecret(name, namespace)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// sharedCertificates are the servers of a port that have a certificate of which others have
// it as well.
func sharedCertificates(servers []*traffic.Server, namespace string) map[*traffic.Server]bool {
	of := map[string][]*traffic.Server{}
	for _, s := range servers {
		if name := certificateOf(s, namespace); name != "" {
			of[name] = append(of[name], s)
		}
	}
	shared := map[*traffic.Server]bool{}
	for _, list := range of {
		for _, s := range list {
			shared[s] = len(list) > 1
		}
	}
	return shared
}
