package status

import (
	"maps"
	"slices"
	"strings"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestEveryKindGetsItsStatus: kinds of Istio's API and of the Gateway API that the mesh
// applies have one, but for those of which nobody writes any.
func TestEveryKindGetsItsStatus(t *testing.T) {
	istio, api := []object.Kind{object.KindProxyConfig}, []object.Kind{object.KindReferenceGrant} // without a status
	istio = slices.Sorted(slices.Values(slices.AppendSeq(istio, maps.Values(kinds))))
	api = slices.Sorted(slices.Values(slices.AppendSeq(api, maps.Values(apiKinds))))
	var wantIstio, wantAPI []object.Kind
	for _, k := range mesh.Kinds() {
		switch {
		case k.Istio():
			wantIstio = append(wantIstio, k)
		case strings.HasPrefix(string(k), gatewayv1.GroupName+"/"):
			wantAPI = append(wantAPI, k)
		}
	}
	if !slices.Equal(istio, wantIstio) {
		t.Errorf("statuses are written of\n%v, want\n%v", istio, wantIstio)
	}
	if !slices.Equal(api, wantAPI) {
		t.Errorf("statuses of the Gateway API are written of\n%v, want\n%v", api, wantAPI)
	}
}
