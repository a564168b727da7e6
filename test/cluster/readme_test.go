package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// command is one that the README has people type.
type command struct {
	text string
	// shows is what the README says that comes out of it; empty: nothing is said,
	// and the command has only to succeed.
	shows string
}

// root is the folder of the project.
const root = "../.."

// lesson is the commands under a heading of the README, in order.
func lesson(t *testing.T, heading string) []command {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "# "+heading+"\n")
	if !found {
		t.Fatalf("the README has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	_, block, found := strings.Cut(section, "```sh\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("the README shows no commands under %q", heading)
	}
	block = strings.ReplaceAll(block, "\\\n", " ")
	var out []command
	for line := range strings.Lines(block) {
		text, note, _ := strings.Cut(strings.TrimSpace(line), "  # ")
		shows, _ := strings.CutPrefix(note, "→ ")
		if shows == note {
			shows = ""
		}
		if text != "" {
			out = append(out, command{text, shows})
		}
	}
	return out
}

// counts are the numbers before lines, as `uniq -c` and `fairway sample get -n`
// write them, by what a part of the line is.
func counts(out string, key *regexp.Regexp) map[string]int {
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		var n int
		if _, err := fmt.Sscan(line, &n); err == nil {
			if m := key.FindString(line); m != "" {
				seen[m] += n
			} else {
				seen["other: "+strings.TrimSpace(line)] += n
			}
		}
	}
	return seen
}

var versionWord = regexp.MustCompile(`\bv[0-9]\b`)

func onlyVersion(v string) func(string) bool {
	return func(out string) bool { return only(counts(out, versionWord), v) }
}

// says is a single answer that has the word.
func says(word string) func(string) bool {
	pattern := regexp.MustCompile(`^[^\n]*\b` + word + `\b[^\n]*\n?$`)
	return pattern.MatchString
}

// promises are what the README says that comes out of commands.
var promises = map[string]func(out string) bool{
	"all are ready":                      func(out string) bool { return allReady(out, 1) },
	"all are ready, two containers each": func(out string) bool { return allReady(out, 2) },
	"v1 and v2, about half each":         func(out string) bool { return even(counts(out, versionWord), "v1", "v2", 0.3) },
	"v1 only":                            onlyVersion("v1"),
	"v2 only":                            onlyVersion("v2"),
	"v3 only":                            onlyVersion("v3"),
	"v1, v2 and v3": func(out string) bool {
		m := counts(out, versionWord)
		return len(m) == 3 && m["v1"] > 0 && m["v2"] > 0 && m["v3"] > 0
	},
	"v1 of three pods about as often as v2 of one": func(out string) bool {
		return even(counts(out, versionWord), "v1", "v2", 0.35) && strings.Count(out, "You've hit v1") == 3 && strings.Count(out, "You've hit v2") == 1
	},
	"404":      says("404"),
	"200":      says("200"),
	"enabled":  says("enabled"),
	"disabled": says("disabled"),
	"who is connected, and which workloads have a proxy of another version": func(out string) bool { return strings.Contains(out, "PROXY") },
	"the root certificates, and which signs":                                func(out string) bool { return strings.Contains(out, " now\n") },
}

// allReady reads `kubectl get pods`: every pod has at least so many containers,
// and all of them are ready.
func allReady(out string, least int) bool {
	pods := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "NAME" || f[2] == "Terminating" {
			continue
		}
		var ready, all int
		if _, err := fmt.Sscanf(f[1], "%d/%d", &ready, &all); err != nil || ready != all || all < least || f[2] != "Running" {
			return false
		}
		pods++
	}
	return pods > 0
}

var assignment = regexp.MustCompile(`^[A-Z]+=`)

// follow types the commands under a heading of the README. What comes out has to
// be right soon.
func (s *suite) follow(t *testing.T, heading string) {
	t.Helper()
	var known []string // variables that were set
	for _, c := range lesson(t, heading) {
		promise := promises[c.shows]
		if c.shows != "" && promise == nil {
			t.Fatalf("the README promises %q of %s, and nobody knows how to tell", c.shows, c.text)
		}
		began := time.Now()
		if c.shows == "" {
			out, err := s.shell(t.Context(), known, c.text)
			if err != nil {
				t.Fatalf("%s\n%s%v", c.text, out, err)
			}
			if assignment.MatchString(c.text) {
				name, _, _ := strings.Cut(c.text, "=")
				value, err := s.shell(t.Context(), append(known, c.text), `printf %s "$`+name+`"`)
				if err != nil || value == "" {
					t.Fatalf("%s gives %q %v", c.text, value, err)
				}
				known = append(known, name+"='"+value+"'")
			}
		} else {
			eventually(t, 2*soon, c.text+" → "+c.shows, func() (any, bool) {
				out, err := s.shell(t.Context(), known, c.text)
				return fmt.Sprint(out, err), err == nil && promise(out)
			})
		}
		t.Logf("%5.1fs  %s", time.Since(began).Seconds(), c.text)
	}
}

// shell runs a line as people type it, in the folder of the project, after the
// lines that set variables.
func (s *suite) shell(ctx context.Context, before []string, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.Join(append(before, line), "\n"))
	cmd.Dir, cmd.Env = root, append(s.environment, "VERSION="+release)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
