package random_test

import (
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/random"
)

// TestEveryKindIsRandom: there are random objects of each kind that the mesh applies, but
// for those that have their own tests alone.
func TestEveryKindIsRandom(t *testing.T) {
	have := slices.Concat(random.Kinds, random.KubernetesKinds, random.GatewayKinds,
		[]object.Kind{object.KindConfigMap, object.KindMeshConfigFile},
		[]object.Kind{object.KindIngress, object.KindIngressClass, object.KindIssuer}) // no random objects
	slices.Sort(have)
	if all := mesh.Kinds(); !slices.Equal(slices.Compact(have), all) {
		t.Errorf("random objects are of kinds\n%v\nthe mesh applies\n%v", have, all)
	}
}
