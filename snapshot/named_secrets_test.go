package snapshot

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestFirstCome: a namespace that names thousands of Secrets, whose names come
// first in the alphabet, takes none from an older object and none from another
// namespace that names few.
func TestFirstCome(t *testing.T) {
	wanted := func(ns, name string, at int64) registry.Wanted {
		return registry.Wanted{Ref: object.Ref{Kind: object.KindSecret, Namespace: "edge", Name: name}, By: object.Ref{Kind: object.KindGateway, Namespace: ns, Name: "g"}, Since: time.Unix(at, 0)}
	}
	all := []registry.Wanted{wanted("shop", "shop", 100), wanted("late", "zzz", 300)}
	for i := range 2050 {
		all = append(all, wanted("evil", fmt.Sprintf("a%04d", i), 200))
	}
	refs, findings := firstCome(all, 500)
	if len(refs) != 502 || refs[0].Name != "shop" || !slices.Contains(refs, wanted("late", "zzz", 0).Ref) {
		t.Errorf("%d Secrets are read, the first is %v", len(refs), refs[0])
	}
	if len(findings) != 1 || findings[0].Object.Namespace != "evil" {
		t.Errorf("findings %v", findings)
	}
}
