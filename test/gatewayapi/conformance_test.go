package gatewayapi_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/test/cluster"
	"github.com/fairway-mesh/fairway/test/gatewayapi"
)

var (
	only    = flag.String("only", "", "run one test of the suite")
	report  = flag.String("report", "", "write the suite's report here")
	version = flag.String("version", "devel", "of Fairway, for the report")
	asked   = flag.Bool("conformance", false, "run the suite, which takes ten minutes")
)

// result is how a test of the suite ended; those of its parts are further in.
var result = regexp.MustCompile(`(?m)^    --- (PASS|FAIL|SKIP): TestConformance/(\w+)`)

func TestConformance(t *testing.T) {
	if !*asked {
		t.Skip("the conformance suite of the Gateway API takes ten minutes: make test-gateway-api")
	}
	if err := cluster.Possible(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	bed, err := gatewayapi.Start(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	}()
	log, err := os.Create(filepath.Join(os.TempDir(), "fairway-gateway-api.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	t.Log("all that the suite prints is in", log.Name())
	reports, err := bed.Conform(t.Context(), gatewayapi.Options{Version: *version, Only: *only}, log)
	text, readErr := os.ReadFile(log.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	passed, skipped := map[string]bool{}, map[string]bool{}
	for _, m := range result.FindAllSubmatch(text, -1) {
		switch name := string(m[2]); string(m[1]) {
		case "PASS":
			passed[name] = true
		case "SKIP": // by one half of the suite, maybe not by the other
			skipped[name] = true
		default:
			t.Error(name, "failed")
		}
	}
	maps.DeleteFunc(skipped, func(name string, _ bool) bool { return passed[name] })
	t.Logf("%d tests passed, %d are of features that are not claimed: %v", len(passed), len(skipped), slices.Sorted(maps.Keys(skipped)))
	if *report != "" {
		if err := os.WriteFile(*report, []byte(reports), 0o644); err != nil {
			t.Error(err)
		}
	}
	if err != nil && !t.Failed() {
		t.Error(err, string(text[max(0, len(text)-4000):]))
	}
}
