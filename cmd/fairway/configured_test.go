package main

import (
	"testing"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestInjectionFollowsTheMesh: what defaultConfig says of new proxies reaches injection.
func TestInjectionFollowsTheMesh(t *testing.T) {
	w := mesh.Build([]mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(
		`defaultConfig: {concurrency: 7, holdApplicationUntilProxyStarts: true, proxyMetadata: {A: b}}`)}})
	p := configured(inject.DefaultParams(), "istio-system", w)
	if p.Concurrency != 7 || !p.HoldApplication || p.Environment["A"] != "b" {
		t.Errorf("new proxies get %d, %v, %v", p.Concurrency, p.HoldApplication, p.Environment)
	}
}
