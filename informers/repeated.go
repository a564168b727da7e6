package informers

import (
	"fmt"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxRepeated bounds the fields of one document that are told to be given twice.
const maxRepeated = 20

// repeated are the fields of a document that are given twice, by their paths, each with the
// line of the second, counted from 1. Reading YAML keeps the last of them and says nothing.
func repeated(text []byte) (out []repeatedField) {
	var document yamlv3.Node
	if yamlv3.Unmarshal(text, &document) != nil {
		return nil
	}
	var walk func(n *yamlv3.Node, path string, depth int)
	walk = func(n *yamlv3.Node, path string, depth int) {
		if depth > MaxDepth || len(out) >= maxRepeated {
			return
		}
		switch n.Kind {
		case yamlv3.DocumentNode:
			for _, e := range n.Content {
				walk(e, path, depth+1)
			}
		case yamlv3.SequenceNode:
			for i, e := range n.Content {
				walk(e, fmt.Sprintf("%s[%d]", path, i), depth+1)
			}
		case yamlv3.MappingNode:
			seen := map[string]int{}
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i]
				at := strings.TrimPrefix(path+"."+key.Value, ".")
				if first := seen[key.Value]; first > 0 && key.Value != "<<" && len(out) < maxRepeated {
					out = append(out, repeatedField{at, first, key.Line})
				}
				seen[key.Value] = key.Line
				walk(n.Content[i+1], at, depth+1)
			}
		}
	}
	walk(&document, "", 0)
	return out
}

// repeatedField is a field that is given twice.
type repeatedField struct {
	path         string
	first, again int // lines
}

// tellRepeated tells the objects of a document, which begins at a line of its file, of
// fields of theirs that are given twice.
func (d *document) tellRepeated(text []byte, line int) {
	for _, f := range repeated(text) {
		for _, w := range d.objects {
			field, within := f.path, true
			if w.path != "" {
				field, within = strings.CutPrefix(f.path, w.path+".")
			}
			if within {
				w.findings = append(w.findings, object.Finding{Object: w.ref, Field: field, Code: object.CodeUnknownField,
					Message: fmt.Sprintf("the field is given twice, in lines %d and %d: the last one counts; take the other out", f.first+line-1, f.again+line-1)})
			}
		}
	}
}
