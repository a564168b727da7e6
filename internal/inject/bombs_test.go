package inject

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/internal/annotation/bombs"
)

// TestAnnotationsAreNoBombs: of every annotation that injection reads, no text costs much
// more than others of its size.
func TestAnnotationsAreNoBombs(t *testing.T) {
	for _, name := range append(slices.Sorted(maps.Keys(readers())), proxyConfigName, TemplatesName, StatusName, InjectName) {
		for what, text := range bombs.Of(maxAnnotation - 200) {
			pod, p := annotated(name, text), DefaultParams()
			p.Namespace = "default"
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			patch, _, err := Patch(pod, p)
			runtime.ReadMemStats(&after)
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 48<<20 {
				t.Errorf("%s: %s of %d bytes takes %d MB", name, what, len(text), spent>>20)
			}
			if err != nil && len(err.Error()) > 4*maxAnnotation || len(patch) > 4*len(pod)+192<<10 {
				t.Errorf("%s: %s: answers %d bytes, or %.80v", name, what, len(patch), err)
			}
		}
	}
}
