package inject

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/*.injected.* and *.notes anew")

// run is the command as a user runs it.
func run(in []byte, args ...string) (out, notes string, err error) {
	var stdout, stderr bytes.Buffer
	cmd := NewCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"-f", "-"}, args...))
	cmd.SetIn(bytes.NewReader(in))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

// arguments are what the first line of a case asks for.
func arguments(in []byte) []string {
	line, _, _ := strings.Cut(string(in), "\n")
	rest, _ := strings.CutPrefix(line, "# fairway inject ")
	if rest == line {
		return nil
	}
	return strings.Fields(rest)
}

// cases are the inputs in testdata.
func cases(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	var inputs []string
	for _, name := range all {
		if !strings.Contains(name, ".injected.") && !strings.HasSuffix(name, ".notes") {
			inputs = append(inputs, name)
		}
	}
	return inputs
}

func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out, notes, err := run(in, arguments(in)...)
			if err != nil {
				t.Fatal(err)
			}
			ext := filepath.Ext(name)
			compare(t, strings.TrimSuffix(name, ext)+".injected"+ext, out)
			compare(t, strings.TrimSuffix(name, ext)+".notes", notes)

			again, _, err := run([]byte(out), arguments(in)...)
			if err != nil || again != out {
				t.Errorf("injected twice it changes (%v):\n%s", err, again)
			}
		})
	}
}

// compare holds text against a file; an empty text has none.
func compare(t *testing.T, name, text string) {
	t.Helper()
	if *update {
		if text == "" {
			os.Remove(name)
		} else if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", name, text)
	}
}
