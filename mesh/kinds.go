package mesh

import (
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// applied are the kinds that building takes in: what each does with an object in its new
// version, or with its end.
func applied() map[object.Kind]func(b *builder, ref object.Ref, obj any) {
	return map[object.Kind]func(*builder, object.Ref, any){
		object.KindService:               applies((*builder).service),
		object.KindPod:                   applies(func(b *builder, ref object.Ref, w *registry.Workload) { b.pod(ref, b.placed(w)) }),
		object.KindNode:                  applies((*builder).node),
		object.KindNamespace:             applies((*builder).namespace),
		object.KindEndpointSlice:         applies((*builder).slice),
		object.KindSecret:                (*builder).secret,
		object.KindConfigMap:             applies((*builder).configMap),
		object.KindMeshConfigFile:        func(b *builder, ref object.Ref, obj any) { text, _ := obj.([]byte); b.config(ref, text) },
		object.KindIssuer:                applies((*builder).issuerKeys),
		object.KindVirtualService:        applies((*builder).virtualService),
		object.KindDestinationRule:       applies((*builder).destinationRule),
		object.KindGateway:               applies((*builder).gateway),
		object.KindServiceEntry:          applies((*builder).serviceEntry),
		object.KindWorkloadEntry:         applies((*builder).workloadEntry),
		object.KindSidecar:               applies((*builder).sidecar),
		object.KindPeerAuthentication:    applies((*builder).peerAuthentication),
		object.KindRequestAuthentication: applies((*builder).requestAuthentication),
		object.KindAuthorizationPolicy:   applies((*builder).authorizationPolicy),
		object.KindTelemetry:             applies((*builder).telemetry),
		object.KindProxyConfig:           applies((*builder).proxyConfig),
		object.KindIngress:               applies((*builder).ingress),
		object.KindIngressClass:          applies((*builder).ingressClass),
		object.KindGatewayClass:          applies((*builder).gatewayClass),
		object.KindKubeGateway:           applies((*builder).kubeGateway),
		object.KindReferenceGrant:        applies((*builder).referenceGrant),
		object.KindHTTPRoute:             applyRoute,
		object.KindGRPCRoute:             applyRoute,
		object.KindTLSRoute:              applyRoute,
		object.KindTCPRoute:              applyRoute,
	}
}

// applies is what a kind does with objects of its one type; nil stands for none.
func applies[T any](apply func(*builder, object.Ref, *T)) func(*builder, object.Ref, any) {
	return func(b *builder, ref object.Ref, obj any) {
		o, _ := obj.(*T)
		apply(b, ref, o)
	}
}

func applyRoute(b *builder, ref object.Ref, obj any) { b.apiRoute(ref, gatewayapi.ParseRoute(obj)) }

// Kinds are all kinds that change a World, in order.
func Kinds() []object.Kind { return slices.Sorted(maps.Keys(applied())) }
