package mesh

import (
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestWithoutHeld: a route that is held back is told of when it is let go, in its newest
// version, and what came with it at once.
func TestWithoutHeld(t *testing.T) {
	web := object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "web"}
	pod := object.Ref{Kind: object.KindPod, Namespace: "a", Name: "p"}
	held := map[object.Ref]*hold{web: {}}
	now, later := withoutHeld([]Change{{Ref: web, Object: 1}, {Ref: pod}, {Ref: web, Object: 2}}, held)
	if !slices.Equal(now, []Change{{Ref: pod}}) || !slices.Equal(later, []Change{{Ref: web, Object: 2}}) {
		t.Errorf("%v, then %v", now, later)
	}
	if now, later = withoutHeld(later, nil); len(now) != 1 || now[0].Object != 2 || later != nil {
		t.Errorf("%v, then %v", now, later)
	}
}
