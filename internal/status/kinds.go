package status

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// kinds are those with an IstioStatus that the control plane may write, by
// group and resource.
var kinds = map[schema.GroupResource]object.Kind{
	{Group: "networking.istio.io", Resource: "virtualservices"}:      object.KindVirtualService,
	{Group: "networking.istio.io", Resource: "destinationrules"}:     object.KindDestinationRule,
	{Group: "networking.istio.io", Resource: "gateways"}:             object.KindGateway,
	{Group: "networking.istio.io", Resource: "serviceentries"}:       object.KindServiceEntry,
	{Group: "networking.istio.io", Resource: "workloadentries"}:      object.KindWorkloadEntry,
	{Group: "networking.istio.io", Resource: "sidecars"}:             object.KindSidecar,
	{Group: "security.istio.io", Resource: "peerauthentications"}:    object.KindPeerAuthentication,
	{Group: "security.istio.io", Resource: "requestauthentications"}: object.KindRequestAuthentication,
	{Group: "security.istio.io", Resource: "authorizationpolicies"}:  object.KindAuthorizationPolicy,
	{Group: "telemetry.istio.io", Resource: "telemetries"}:           object.KindTelemetry,
}

// untraced are kinds that shape what is made of other objects, and are named by
// no resource of their own.
var untraced = map[object.Kind]struct{}{
	object.KindSidecar: {}, object.KindWorkloadEntry: {}, object.KindTelemetry: {}, object.KindPeerAuthentication: {},
}

// Traced tells whether resources name the objects of the kind that they are made of, so that
// it can be told which proxies have what is made of one.
func Traced(k object.Kind) bool {
	_, not := untraced[k]
	return !not
}

// servedKind is a kind as the mesh and as the API server call it.
type servedKind struct {
	mesh object.Kind
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
