package inject

import (
	"strings"
	"testing"
)

// TestLongExpressions: an expression that names many metrics is taken, one that nobody
// writes is not.
func TestLongExpressions(t *testing.T) {
	for what, c := range map[string]struct {
		text string
		good bool
	}{
		"60 names": {"^(" + strings.Repeat("cluster.some_name|", 60) + "x)$", true},
		"too long": {strings.Repeat("a", maxExpression+1), false},
	} {
		_, _, err := readSettings(map[string]string{sidecarPrefix + "statsInclusionRegexps": c.text}, DefaultParams())
		if (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
	}
}
