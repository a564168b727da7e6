package conformance

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFeatures holds docs/features.md to what there is: each row stands there once,
// one that works names what shows it, and every test and case that is named exists.
func TestFeatures(t *testing.T) {
	text, err := os.ReadFile("../../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*|[0-9]{3}-[a-z0-9-]+)`")
	rows := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 7 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue // a heading
		}
		if rows[n] {
			t.Errorf("row %d stands there twice", n)
		}
		rows[n] = true
		shown := named.FindAllStringSubmatch(strings.Join(cells[5:], "|"), -1)
		switch state := strings.TrimSpace(cells[4]); state {
		case "works":
			if len(shown) == 0 {
				t.Errorf("row %d works, and nothing shows it", n)
			}
		case "differs", "not yet":
		default:
			t.Errorf("row %d has the state %q", n, state)
		}
		for _, s := range shown {
			if _, err := os.Stat(filepath.Join("testdata/cases", s[1])); err != nil && !tests[s[1]] {
				t.Errorf("row %d names %s, which does not exist", n, s[1])
			}
		}
	}
	for n := 1; n <= 193; n++ {
		if !rows[n] {
			t.Errorf("row %d is missing", n)
		}
	}
}

// testNames are the tests of the whole repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
