package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRefusedIsShown holds docs/refused.md to what there is: each attempt names
// what shows it, and that exists.
func TestRefusedIsShown(t *testing.T) {
	text, err := os.ReadFile("../../docs/refused.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*|[0-9]{3}-[a-z0-9-]+)`")
	attempts := 0
	for line := range strings.Lines(string(text)) {
		shown := named.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| ---") && !strings.HasPrefix(line, "| attempt") {
			attempts++
			if len(shown) == 0 {
				t.Errorf("nothing shows: %s", line)
			}
		}
		for _, s := range shown {
			if _, err := os.Stat(filepath.Join("testdata/cases", s[1])); err != nil && !tests[s[1]] {
				t.Errorf("%s does not exist: %s", s[1], line)
			}
		}
	}
	if attempts < 20 {
		t.Errorf("only %d attempts were found", attempts)
	}
}
