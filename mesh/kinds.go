package mesh

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// kind is a row of the table of kinds: all that the mesh does with objects of one kind.
type kind struct {
	// apply takes in an object's new version; nil is its end.
	apply func(b *builder, ref object.Ref, obj any)
	// check says what is wrong with an object by itself; nil: nothing can be said.
	check func(ref object.Ref, obj any) []object.Finding
	// refer says which names in an object lead nowhere; nil: it names nothing.
	refer func(r *references, obj any)
}

// kinds is the table.
func kinds() map[object.Kind]kind {
	route := kind{apply: applyRoute, refer: referAPI}
	return map[object.Kind]kind{
		object.KindService:        {apply: applies((*builder).service), check: checks(checkMeta[corev1.Service])},
		object.KindPod:            {apply: applies(func(b *builder, ref object.Ref, w *registry.Workload) { b.pod(ref, b.placed(w)) }), check: checks(checkMeta[corev1.Pod])},
		object.KindNode:           {apply: applies((*builder).node)},
		object.KindNamespace:      {apply: applies((*builder).namespace), check: checks(checkMeta[corev1.Namespace])},
		object.KindEndpointSlice:  {apply: applies((*builder).slice)},
		object.KindSecret:         {apply: (*builder).secret},
		object.KindConfigMap:      {apply: applies((*builder).configMap), check: checks(checkConfigMap)},
		object.KindMeshConfigFile: {apply: func(b *builder, ref object.Ref, obj any) { text, _ := obj.([]byte); b.config(ref, text) }},
		object.KindIssuer:         {apply: applies((*builder).issuerKeys)},

		object.KindVirtualService:        {apply: applies((*builder).virtualService), check: checks(checkVirtualService), refer: refers((*references).virtualService)},
		object.KindDestinationRule:       {apply: applies((*builder).destinationRule), check: checks(checkDestinationRule), refer: refers((*references).destinationRule)},
		object.KindGateway:               {apply: applies((*builder).gateway), check: checks(checkGateway), refer: refers((*references).gateway)},
		object.KindServiceEntry:          {apply: applies((*builder).serviceEntry), check: checks(checkServiceEntry), refer: refers((*references).serviceEntry)},
		object.KindWorkloadEntry:         {apply: applies((*builder).workloadEntry), check: checks(checkWorkloadEntry), refer: refers((*references).workloadEntry)},
		object.KindSidecar:               {apply: applies((*builder).sidecar), check: checks(checkSidecar), refer: refers((*references).sidecar)},
		object.KindPeerAuthentication:    {apply: applies((*builder).peerAuthentication), check: checks(checkPeerAuthentication), refer: refers((*references).peerAuthentication)},
		object.KindRequestAuthentication: {apply: applies((*builder).requestAuthentication), check: checks(checkRequestAuthentication), refer: refers((*references).requestAuthentication)},
		object.KindAuthorizationPolicy:   {apply: applies((*builder).authorizationPolicy), check: checks(checkAuthorizationPolicy), refer: refers((*references).authorizationPolicy)},
		object.KindTelemetry:             {apply: applies((*builder).telemetry), check: checks(checkTelemetry), refer: refers((*references).telemetry)},
		object.KindProxyConfig:           {apply: applies((*builder).proxyConfig)},

		object.KindIngress:          {apply: applies((*builder).ingress)},
		object.KindIngressClass:     {apply: applies((*builder).ingressClass)},
		object.KindGatewayClass:     {apply: applies((*builder).gatewayClass)},
		object.KindKubeGateway:      {apply: applies((*builder).kubeGateway), refer: referAPI},
		object.KindListenerSet:      {apply: applies((*builder).listenerSet), refer: referAPI},
		object.KindReferenceGrant:   {apply: applies((*builder).referenceGrant)},
		object.KindBackendTLSPolicy: {apply: applies((*builder).backendTLSPolicy), refer: referAPI},
		object.KindHTTPRoute:        route,
		object.KindGRPCRoute:        route,
		object.KindTLSRoute:         route,
		object.KindTCPRoute:         route,
	}
}

// Kinds are all kinds that change a World, in order.
func Kinds() []object.Kind { return slices.Sorted(maps.Keys(kinds())) }

// applies is what a kind does with objects of its one type; nil stands for none.
func applies[T any](apply func(*builder, object.Ref, *T)) func(*builder, object.Ref, any) {
	return func(b *builder, ref object.Ref, obj any) {
		o, _ := obj.(*T)
		apply(b, ref, o)
	}
}

// checks is what a kind says of objects of its one type.
func checks[T any](check func(object.Ref, *T) []object.Finding) func(object.Ref, any) []object.Finding {
	return func(ref object.Ref, obj any) []object.Finding {
		o, ok := obj.(*T)
		if !ok {
			return nil
		}
		return check(ref, o)
	}
}

// refers is what a kind looks up for objects of its one type.
func refers[T any](refer func(*references, *T)) func(*references, any) {
	return func(r *references, obj any) {
		if o, ok := obj.(*T); ok {
			refer(r, o)
		}
	}
}

func applyRoute(b *builder, ref object.Ref, obj any) { b.apiRoute(ref, gatewayapi.ParseRoute(obj)) }

func referAPI(r *references, obj any) {
	r.findings = append(r.findings, r.world.GatewayAPI().Check(obj)...)
}
