package explain_test

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestObjectsOfTheWay: findings are shown beside the objects that a request meets, of which
// the service is one. A cluster that is no service's names none.
func TestObjectsOfTheWay(t *testing.T) {
	services := func(url string, to netip.Addr) (out []string) {
		request, err := explain.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Destination = to
		for _, ref := range explain.Explain(resourcesOf(t, "client"), request).Objects {
			if ref.Kind == object.KindService {
				out = append(out, ref.Namespace+"/"+ref.Name)
			}
		}
		return out
	}
	if got := services("http://reviews/reviews/1", netip.MustParseAddr("10.96.0.10")); !slices.Equal(got, []string{"default/reviews"}) {
		t.Errorf("to a service: %v, want default/reviews", got)
	}
	if got := services("http://elsewhere.example/", netip.Addr{}); len(got) > 0 {
		t.Errorf("to nobody's cluster: %v, want none", got)
	}
}
