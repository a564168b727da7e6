package annotation

import (
	"runtime"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/annotation/bombs"
)

// TestBombsCostLittle: whatever an annotation says, reading it takes a few times its size.
func TestBombsCostLittle(t *testing.T) {
	for _, n := range []int{8 << 10, MaxBytes - 200, 4 * MaxBytes} {
		for what, text := range bombs.Of(n) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var into map[string]any
			err := Read(text, &into)
			runtime.ReadMemStats(&after)
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 32<<20 {
				t.Errorf("%s of %d bytes takes %d MB", what, len(text), spent>>20)
			}
			if err != nil && len(err.Error()) > 2*maxQuoted {
				t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
			}
			if strings.Contains(what, "alias") || strings.Contains(what, "many times") || len(text) > MaxBytes {
				if err == nil {
					t.Errorf("%s of %d bytes is read", what, len(text))
				}
			}
		}
	}
}

func TestRead(t *testing.T) {
	var into struct {
		A int `json:"a"`
		B struct {
			C []string `json:"c"`
		} `json:"b"`
	}
	if err := Read("a: 1\nb:\n  c: [x, 'y']\n  later: true\n", &into); err != nil || into.A != 1 || len(into.B.C) != 2 {
		t.Errorf("read %+v, %v", into, err)
	}
	for text, want := range map[string]string{
		"a: [": "it is not YAML", "a: many": "cannot unmarshal", "b: &b {c: [x]}\nd: *b": "line 2 has an alias (*b)",
		"b: " + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth): "nests values more than 32 deep",
		"b: {" + strings.Repeat("c: ,", maxValues) + "}":                      "more than 10000 values",
	} {
		if err := Read(text, &into); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}
