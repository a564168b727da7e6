package conformance

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

// TestMain has three cases at a time for each processor: most of a case is waiting.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.NumCPU()))
	os.Exit(localtest.Main(m))
}

// TestConformance runs every case in both variants of the protocol; -short only in
// the one that Fairway's own bootstrap uses.
func TestConformance(t *testing.T) {
	envoy := localtest.Need(t)
	folders, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	t.Cleanup(func() { t.Logf("%d requests were compared with what `fairway test` says", compared.Load()) })
	for _, variant := range []string{"delta", "sotw"} {
		if testing.Short() && variant != "delta" {
			continue
		}
		t.Run(variant, func(t *testing.T) {
			for _, folder := range folders {
				t.Run(filepath.Base(folder), func(t *testing.T) {
					t.Parallel()
					c, err := readCase(folder)
					if err != nil {
						t.Fatal(err)
					}
					w := newWorld(t, envoy, variant == "sotw")
					for i, s := range c.Steps {
						if !w.run(t, i, s) {
							return
						}
					}
					w.checkRefusals(t, c.Refuses)
				})
			}
		})
	}
}
