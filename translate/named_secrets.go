package translate

import (
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// NamedSecrets are the Secrets that proxies may be given, whichever connect:
// those that servers of Gateways name, in the namespaces of the Pods that serve
// them, and those that DestinationRules name, in the namespaces of who may use
// them. One that several name is there for each.
func NamedSecrets(w *mesh.World) []registry.Wanted {
	out := append(w.GatewayAPI().ListenerSecrets(), w.GatewayAPI().PolicyBundles()...)
	add := func(uses []SecretUse, namespaces map[string]struct{}) {
		for _, use := range uses {
			for namespace := range namespaces {
				for _, r := range use.Refs(namespace) {
					out = append(out, registry.Wanted{Ref: r, By: use.By, Since: use.Since})
				}
			}
		}
	}
	routers := map[string]struct{}{}
	for g, namespaces := range w.RouterNamespaces() {
		for namespace := range namespaces {
			routers[namespace] = struct{}{}
		}
		for namespace := range namespaces {
			for _, s := range g.Servers {
				add(serverUses(s, namespace), map[string]struct{}{namespace: {}})
			}
		}
	}
	for _, rules := range w.DestinationRules() {
		for _, r := range rules {
			users := routers
			if len(r.Selector) > 0 { // it is for workloads of its namespace
				users = map[string]struct{}{r.Namespace: {}}
			}
			add(RuleSecrets(r), users)
		}
	}
	return out
}

// serverUses are the SDS secrets that a server asks for on pods of the namespace.
func serverUses(s *traffic.Server, namespace string) (uses []SecretUse) {
	t := s.Spec.Tls
	if len(credentialNames(t)) == 0 || t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return nil
	}
	names, problem := serverCredentials(&tlsv3.CommonTlsContext{}, s, namespace)
	if problem != "" {
		return nil
	}
	return usesOf(s, names)
}

// usesOf are the uses of the SDS secrets that a server asks for.
func usesOf(s *traffic.Server, names []string) (uses []SecretUse) {
	for _, name := range names {
		use := SecretUse{Name: name, By: s.Gateway.Ref, Since: s.Gateway.Created}
		if s.ClientRoots != nil && s.ClientRoots.Name == name {
			use.Authorities = s.ClientRoots
		}
		uses = append(uses, use)
	}
	return uses
}
