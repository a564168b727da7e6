package inject

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// decode reads a document as kubectl does, with numbers as they are written.
func decode(text []byte) (any, error) {
	var tree any
	err := yaml.Unmarshal(text, &tree, func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d })
	return tree, err
}

// edit returns text changed so that it means target instead of original, with
// as few lines changed as it can. lossy tells that the document had to be
// written anew, without its comments and order: that happens to YAML whose
// parts are not where they seem, such as aliases of what changes.
func edit(text []byte, original, target any) (result []byte, lossy bool, err error) {
	if edited, ok := splice(text, original, target); ok {
		if meaning, err := decode(edited); err == nil && reflect.DeepEqual(meaning, target) {
			return edited, false, nil
		}
	}
	written, err := render(target, 0)
	if err != nil {
		return nil, false, err
	}
	if meaning, err := decode(written); err != nil || !reflect.DeepEqual(meaning, target) {
		return nil, false, fmt.Errorf("the injected document does not read back as it was written (%w): please report it", cmp.Or(err, errors.New("it differs")))
	}
	return written, true, nil
}

// replacement is a change of text: bytes start to end become text.
type replacement struct {
	start, end int
	text       string
}

// splice turns the difference of original and target into replacements and
// makes them.
func splice(text []byte, original, target any) ([]byte, bool) {
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(text, &document); err != nil || len(document.Content) != 1 {
		return nil, false
	}
	s := newSource(text)
	if !s.change(document.Content[0], original, target) {
		return nil, false
	}
	slices.SortStableFunc(s.changes, func(a, b replacement) int { return cmp.Compare(a.start, b.start) })
	var out bytes.Buffer
	at := 0
	for _, c := range s.changes {
		if c.start < at {
			return nil, false
		}
		out.Write(text[at:c.start])
		out.WriteString(c.text)
		at = c.end
	}
	out.Write(text[at:])
	return out.Bytes(), true
}
