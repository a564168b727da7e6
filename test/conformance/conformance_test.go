package conformance

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

// TestMain has three cases at a time for each processor: most of a case is waiting.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.NumCPU()))
	os.Exit(localtest.Main(m))
}

// learnedEach is which cases run with a learned scope, every third, unless
// FAIRWAY_CONFORMANCE=learned asks for all of them.
const learnedEach = 3

// TestConformance runs every case in both variants of the protocol, and with a learned
// scope from nothing; -short only in the variant that Fairway's own bootstrap uses.
func TestConformance(t *testing.T) {
	envoy := localtest.Need(t)
	folders, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	var learned atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d requests were compared with what `fairway test` says; with a learned scope %d hosts were asked for", compared.Load(), learned.Load())
	})
	for _, variant := range []string{"delta", "sotw", "learned"} {
		if testing.Short() && variant != "delta" {
			continue
		}
		t.Run(variant, func(t *testing.T) {
			for i, folder := range folders {
				if variant == "learned" && i%learnedEach != 0 && os.Getenv("FAIRWAY_CONFORMANCE") != variant {
					continue
				}
				t.Run(filepath.Base(folder), func(t *testing.T) {
					t.Parallel()
					c, err := readCase(folder)
					if err != nil {
						t.Fatal(err)
					}
					w := newWorld(t, envoy, variant)
					for i, s := range c.Steps {
						if !w.run(t, i, s) {
							return
						}
					}
					w.checkRefusals(t, c.Refuses)
					if variant == "learned" {
						hosts, _ := w.questions(t)
						learned.Add(int64(hosts))
					}
				})
			}
		})
	}
}
