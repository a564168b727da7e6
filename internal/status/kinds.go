package status

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/fairway-mesh/fairway/mesh"
)

// kinds are those with an IstioStatus that the control plane may write, by
// group and resource.
var kinds = map[schema.GroupResource]mesh.Kind{
	{Group: "networking.istio.io", Resource: "virtualservices"}:      mesh.KindVirtualService,
	{Group: "networking.istio.io", Resource: "destinationrules"}:     mesh.KindDestinationRule,
	{Group: "networking.istio.io", Resource: "gateways"}:             mesh.KindGateway,
	{Group: "networking.istio.io", Resource: "serviceentries"}:       mesh.KindServiceEntry,
	{Group: "networking.istio.io", Resource: "workloadentries"}:      mesh.KindWorkloadEntry,
	{Group: "networking.istio.io", Resource: "sidecars"}:             mesh.KindSidecar,
	{Group: "security.istio.io", Resource: "peerauthentications"}:    mesh.KindPeerAuthentication,
	{Group: "security.istio.io", Resource: "requestauthentications"}: mesh.KindRequestAuthentication,
	{Group: "security.istio.io", Resource: "authorizationpolicies"}:  mesh.KindAuthorizationPolicy,
	{Group: "telemetry.istio.io", Resource: "telemetries"}:           mesh.KindTelemetry,
}

// untraced are kinds that shape what is made of other objects, and are named by
// no resource of their own.
var untraced = map[mesh.Kind]struct{}{
	mesh.KindSidecar: {}, mesh.KindWorkloadEntry: {}, mesh.KindTelemetry: {}, mesh.KindPeerAuthentication: {},
}

// servedKind is a kind as the mesh and as the API server call it.
type servedKind struct {
	mesh mesh.Kind
	name string
}

// served are the kinds that the API server has now, each in the version that it
// prefers. A group that cannot be asked for is passed over until the next time.
func served(client discovery.DiscoveryInterface) map[schema.GroupVersionResource]servedKind {
	out := map[schema.GroupVersionResource]servedKind{}
	lists, _ := discovery.ServerPreferredResources(client)
	for _, l := range lists {
		version, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			name := schema.GroupResource{Group: version.Group, Resource: r.Name}
			if kind, ok := kinds[name]; ok {
				out[version.WithResource(r.Name)] = servedKind{kind, r.Kind}
			}
			if kind, ok := apiKinds[name]; ok {
				out[version.WithResource(r.Name)] = servedKind{kind, r.Kind}
			}
		}
	}
	return out
}
