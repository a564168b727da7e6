package operate

import (
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestStatusIsATable(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour) // by the clock of a control plane that is ahead
	var out strings.Builder
	err := printStatus(&out, []debug.Proxy{
		{ID: "client.default", Role: "sidecar", Version: "1.40.0", Fairway: "v0.1.0", Connected: tomorrow, ConnectedSeconds: 90.2, Types: map[string]debug.Type{
			"cds": {State: "SYNCED"},
			"lds": {State: "STALE", Rejected: map[string]string{"0.0.0.0_80": "1"}, LastNack: "no such filter"},
			"eds": {State: "SYNCED", LastNack: "was wrong"},
		}},
		{ID: "old.default", Role: "router", Version: "1.20.0", TooOld: true, Connected: tomorrow},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PROXY           ROLE     ENVOY   FAIRWAY  CDS       EDS       LDS       RDS       VHDS      SDS       ECDS      CONNECTED\n",
		"client.default  sidecar  1.40.0  v0.1.0   SYNCED    SYNCED    STALE     NOT SENT  NOT SENT  NOT SENT  NOT SENT  1m30s\n",
		"client.default refused LDS (1 resources are still refused): no such filter\n",
		"client.default refused EDS (it has accepted a newer state since): was wrong\n",
		"old.default: Envoy 1.20.0 is too old",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestStatusOfNobody(t *testing.T) {
	var out strings.Builder
	if err := printStatus(&out, nil); err != nil || out.String() != "No proxy is connected.\n" {
		t.Errorf("%q %v", out.String(), err)
	}
}

func TestOutdatedWorkloadsAreListed(t *testing.T) {
	var out strings.Builder
	printOutdated(&out, []debug.Finding{
		{Object: "VirtualService default/web", Code: string(object.CodeInvalid), Message: "is another matter"},
		{Object: "Workload default/web", Code: string(object.CodeOutdated), Message: "2 of its proxies are old"},
	})
	if out.String() != "\nWorkload default/web: 2 of its proxies are old\n" {
		t.Errorf("%q", out.String())
	}
}

func TestOldViewsAreListed(t *testing.T) {
	var out strings.Builder
	printStale(&out, []debug.View{{Kind: "Node", AgeSeconds: 2}})
	if out.String() != "" {
		t.Errorf("of fresh ones: %q", out.String())
	}
	printStale(&out, []debug.View{{Kind: "Node", AgeSeconds: 2}, {Kind: "Pod", AgeSeconds: 40, Stale: true, Problem: "it hangs"}})
	if !strings.HasSuffix(out.String(), "with the cluster:\n  40s: it hangs: Pod\n") {
		t.Errorf("%q", out.String())
	}
}
