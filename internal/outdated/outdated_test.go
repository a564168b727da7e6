package outdated_test

import (
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/outdated"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

func proxy(namespace, workload, version string) snapshot.Client {
	return snapshot.Client{Namespace: namespace, Pod: workload + "-1", Workload: workload, Fairway: version}
}

func TestOutdatedProxies(t *testing.T) {
	found := outdated.Findings("v0.2.0", []snapshot.Client{
		proxy("shop", "web", "v0.1.0"), proxy("shop", "web", "v0.2.0"), proxy("shop", "web", "v0.1.0"),
		proxy("shop", "cart", "v0.2.0"), proxy("shop", "own", ""), proxy("bank", "web", "v0.0.9"),
		{Namespace: "a", Pod: "lonely", Fairway: "v0.1.0"},
	})
	want := []struct{ object, says string }{
		{"Workload a/lonely", "1 of its proxies: injected by Fairway v0.1.0"},
		{"Workload bank/web", "1 of its proxies: injected by Fairway v0.0.9"},
		{"Workload shop/web", "2 of its proxies: injected by Fairway v0.1.0, and the control plane is v0.2.0"},
	}
	if len(found) != len(want) {
		t.Fatalf("got %v", found)
	}
	for i, w := range want {
		if f := found[i]; f.Object.String() != w.object || !strings.HasPrefix(f.Message, w.says) || f.Code != object.CodeOutdated {
			t.Errorf("got %v, want %v", f, w)
		}
	}
}
