package translate

import (
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const meshWideServices = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: evil}, spec: {clusterIP: 10.96.0.8, ports: [{name: http, port: 80}]}}
---
`

// TestWildcardsOfOtherNamespaces: a wildcard on sidecars takes no other
// namespace's Services, whatever its length; * is left out there altogether.
func TestWildcardsOfOtherNamespaces(t *testing.T) {
	for _, host := range []string{"*", "*.local", "*.cluster.local", "*.svc.cluster.local", "*.shop.svc.cluster.local"} {
		for _, gateways := range []string{"", ", gateways: [mesh]", ", gateways: [mesh, edge/shared]"} {
			w := parsedWorld(t, meshWideServices+`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: all, namespace: evil}, spec: {hosts: ["`+host+`", kept.example]`+gateways+`, http: [{directResponse: {status: 418}}]}}`)
			ruled := func(namespace, host string) bool {
				for _, vh := range ResolveHost(w.View(mesh.Scope{Namespace: namespace}), host).VirtualHosts {
					if vh.Route.VirtualService != nil {
						return true
					}
				}
				return false
			}
			for _, client := range []string{"", "shop", "other"} {
				if ruled(client, "web.shop.svc.cluster.local") || ruled(client, "*") {
					t.Errorf("%s%s: calls from %q to the Service of shop follow the rule of evil", host, gateways, client)
				}
				if !ruled(client, "kept.example") {
					t.Errorf("%s%s: the other host is lost", host, gateways)
				}
				if covers := host != "*" && host != "*.shop.svc.cluster.local"; ruled(client, "own.evil.svc.cluster.local") != covers {
					t.Errorf("%s%s: the rule's own Service is ruled: %v", host, gateways, !covers)
				}
			}
			if own := ruled("evil", "web.shop.svc.cluster.local"); own != (host != "*") {
				t.Errorf("%s%s: calls from the rule's own namespace follow it: %v", host, gateways, own)
			}
			if !slices.ContainsFunc(slices.Collect(w.Findings()), func(f object.Finding) bool {
				return f.Object.Name == "all" && strings.HasPrefix(f.Field, "spec.hosts") && (f.Code == object.CodeInvalid) == (host == "*")
			}) {
				t.Errorf("%s%s: no finding", host, gateways)
			}
			if vs := w.VirtualServicesOf("edge/shared"); len(vs) == 1 && !slices.Contains(vs[0].Hosts, host) {
				t.Errorf("%s%s: the gateway lost the host", host, gateways)
			}
		}
	}
	// The operator's wildcard covers everybody's.
	w := parsedWorld(t, meshWideServices+`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: all, namespace: istio-system}, spec: {hosts: ["*.svc.cluster.local"], http: [{directResponse: {status: 418}}]}}`)
	vh := ResolveHost(w.View(mesh.Scope{Namespace: "other"}), "web.shop.svc.cluster.local").VirtualHosts[0]
	if vh.Route.VirtualService == nil {
		t.Error("a wildcard of the root namespace covers nothing")
	}
	for f := range w.Findings() {
		t.Errorf("of the root namespace: %v", f)
	}
}
