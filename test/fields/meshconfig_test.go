package fields_test

import (
	"os"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/test/random"
)

// configKind names the mesh's configuration among the kinds that are walked.
const configKind = "MeshConfig"

// TestEveryFieldOfTheMesh: each field of MeshConfig and of every message in it, set alone on
// a valid configuration that is used, changes what is served or yields a finding with its path.
func TestEveryFieldOfTheMesh(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes with the race detector, and less than one without")
	}
	text, err := os.ReadFile("testdata/meshconfig.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, plane: newPlane(t, "testdata/meshconfig-world.yaml"), kind: configKind, hasty: true, ref: random.ConfigRef, covered: map[string]bool{}, missed: map[string]string{}, idle: map[string]bool{}}
	w.plane.parse, w.plane.varying = parseConfig, random.ConfigRef
	w.plane.start(t)
	spec := protoShape((&meshconfig.MeshConfig{}).ProtoReflect().Descriptor())
	for _, d := range strings.Split(string(text), "\n---\n") {
		if err := yaml.Unmarshal([]byte(d), &w.object); err != nil {
			t.Fatal(err)
		}
		if w.plane.of(t, w.object) == nil {
			t.Fatalf("it cannot be read: %s", d)
		}
		w.message(w.object, spec, "", 0)
		w.object = nil
	}
	report(t, map[string]*walk{configKind: w}, configExceptions)
}

// configExceptions are the fields of the mesh's configuration that change nothing and are
// not told, each with its reason.
var configExceptions = map[string]string{
	"MeshConfig ProxyConfig.concurrency": ofInjection, "MeshConfig ProxyConfig.proxyMetadata": ofInjection, "MeshConfig ProxyConfig.holdApplicationUntilProxyStarts": ofInjection,
	"MeshConfig MeshConfig.serviceSettings": ofClusters, "MeshConfig ServiceSettings.settings": ofClusters, "MeshConfig ServiceSettings.hosts": ofClusters, "MeshConfig Settings.clusterLocal": ofClusters,
}

const (
	ofInjection = "Pods that are made from now on get it; cmd/fairway tests that"
	ofClusters  = "the mesh is one cluster, to which all of its services are local"
)
