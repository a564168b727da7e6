package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// spoken finds commands in a page: after a prompt's place in a block of code, after a pipe
// or `--`, or between back-quotes.
var spoken = regexp.MustCompile("(?m)(?:^ *|`|-- |\\| )((?:bin/|/)?fairway [a-z][^`\n#|&>]*)")

// TestDocumentedCommands holds every command that README, docs, CONTRIBUTING.md and help
// texts tell people to run to what the program has: its name and its flags.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../ARCHITECTURE.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		joined := strings.ReplaceAll(string(text), "\\\n", " ")
		for _, m := range spoken.FindAllStringSubmatch(joined, -1) {
			words := strings.Fields(strings.NewReplacer(`"`, "", "'", "", "…", "", ")", "").Replace(m[1]))[1:]
			if !plausible(words) {
				continue
			}
			found++
			c, rest, err := newRoot().Find(words)
			if err != nil || c == newRoot() || c.Name() == "fairway" {
				t.Errorf("%s: there is no command `%s`", page, m[1])
				continue
			}
			for _, w := range rest {
				if flag, ok := strings.CutPrefix(w, "-"); ok && flag != "" && !strings.HasPrefix(w, "---") {
					if !has(c, strings.TrimPrefix(flag, "-"), strings.HasPrefix(w, "--")) {
						t.Errorf("%s: `fairway %s` has no flag %s", page, c.Name(), w)
					}
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d commands were found: the pattern misses most", found)
	}
}

// plausible says whether words are a command line, and not a sentence that begins with the
// program's name.
func plausible(words []string) bool {
	names := []string{}
	for _, c := range newRoot().Commands() {
		names = append(names, c.Name())
	}
	if slices.Contains(names, words[0]) {
		return true
	}
	// A name that no command has any more is only told from prose by what follows.
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") })
}

func has(c *cobra.Command, flag string, long bool) bool {
	name, _, _ := strings.Cut(flag, "=")
	if long {
		return c.Flags().Lookup(name) != nil || c.InheritedFlags().Lookup(name) != nil || name == "help"
	}
	return c.Flags().ShorthandLookup(name[:1]) != nil
}
