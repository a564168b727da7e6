package check

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxText is the largest file that is read, in bytes.
const maxText = 64 << 20

// standardInput is what the input is called that has no name.
const standardInput = "standard input"

// text is one file.
type text struct {
	name    string
	content []byte
}

// read opens files, those of folders (*.yaml, *.yml, *.json) and "-".
func read(names []string, stdin io.Reader) ([]text, error) {
	var out []text
	for _, name := range names {
		if name == "-" {
			content, err := io.ReadAll(io.LimitReader(stdin, maxText+1))
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			out = append(out, text{standardInput, content})
			continue
		}
		err := filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || file != name && !manifest(file) {
				return err
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			out = append(out, text{file, content})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading what is to be checked: %w", err)
		}
	}
	for _, t := range out {
		if len(t.content) > maxText {
			return nil, fmt.Errorf("%s has more than %d bytes: give it in parts", t.name, maxText)
		}
	}
	return out, nil
}

func manifest(file string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(file)))
}
