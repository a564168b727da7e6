package gateways

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/redirect"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
)

var (
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	gatewayResource = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}
	classes         = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}
)

// made is an object that a Gateway needs, and where it is served.
type made struct {
	at schema.GroupVersionResource
	*unstructured.Unstructured
}

// statusPort is where proxies tell whether they are ready.
const statusPort = 15021

// objectsOf are what a Gateway needs, in the order in which to make them.
func objectsOf(g gatewayapi.ManagedGateway, pullSecrets []string) []made {
	labels, annotations := map[string]any{}, map[string]any{}
	for k, v := range g.Labels {
		labels[k] = v
	}
	selector := map[string]any{gatewayapi.GatewayNameLabel: gatewayapi.GatewayLabel(g.Ref.Name)}
	maps.Copy(labels, selector) // stronger than what people say
	labels["gateway.networking.k8s.io/gateway-class-name"] = gatewayapi.GatewayLabel(g.Class)
	for k, v := range g.Annotations {
		annotations[k] = v
	}
	owner := map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": g.Ref.Name, "uid": string(g.UID), "controller": true}
	of := func(at schema.GroupVersionResource, kind string, fields map[string]any) made {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": at.GroupVersion().String(), "kind": kind,
			"metadata": map[string]any{"name": g.Name, "namespace": g.Ref.Namespace, "labels": labels, "annotations": annotations, "ownerReferences": []any{owner}},
		}}
		maps.Copy(u.Object, fields)
		return made{at, u}
	}
	service := map[string]any{"type": g.ServiceType, "selector": selector, "ports": servicePorts(g)}
	if g.Address != "" {
		service["loadBalancerIP"] = g.Address
	}
	return []made{
		of(serviceAccounts, "ServiceAccount", nil),
		of(services, "Service", map[string]any{"spec": service}),
		of(deployments, "Deployment", map[string]any{"spec": map[string]any{
			"selector": map[string]any{"matchLabels": selector},
			"template": podTemplate(g, labels, annotations, pullSecrets),
		}}),
	}
}

// servicePorts lead each port of a listener to the same one of the Pods.
func servicePorts(g gatewayapi.ManagedGateway) []any {
	port := func(name string, number int64) any {
		return map[string]any{"name": name, "port": number, "targetPort": number, "protocol": "TCP"}
	}
	out := []any{port("status-port", statusPort)}
	for _, p := range g.Ports {
		out = append(out, port(p.Name, int64(p.Number)))
	}
	return out
}

// podTemplate is a Pod whose proxy injection fills in. It is within the Pod Security
// Standard "restricted", so that every namespace takes it.
func podTemplate(g gatewayapi.ManagedGateway, labels, annotations map[string]any, pullSecrets []string) map[string]any {
	labels, annotations = maps.Clone(labels), maps.Clone(annotations)
	labels[inject.InjectName] = "true"
	labels["service.istio.io/canonical-name"] = g.Name
	labels["service.istio.io/canonical-revision"] = "latest"
	annotations[inject.TemplatesName] = "gateway"
	spec := map[string]any{
		"serviceAccountName": g.Name,
		"securityContext":    map[string]any{"runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
		"containers": []any{map[string]any{"name": inject.ProxyContainer, "image": "auto", "securityContext": map[string]any{
			"runAsUser": int64(redirect.DefaultProxyUID), "runAsGroup": int64(redirect.DefaultProxyGID), "runAsNonRoot": true,
			"privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}},
		}}},
	}
	if len(pullSecrets) > 0 {
		var names []any
		for _, name := range pullSecrets {
			names = append(names, map[string]any{"name": name})
		}
		spec["imagePullSecrets"] = names
	}
	return map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}, "spec": spec}
}

// class is a GatewayClass that needs no object in people's YAML.
func class(name, controller string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"controllerName": controller, "description": "Gateways that Fairway serves"},
	}}
}
