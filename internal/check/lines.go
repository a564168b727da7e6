package check

import (
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// lines finds the lines of fields in one document. Documents are read for that only
// when there is something to say of them.
type lines struct {
	text []byte
	from int // where the document begins in its file, from 1
	read bool
	root *yamlv3.Node
}

// of is the line of the field at a path such as "spec.http[1].route", or of the nearest
// that there is above it.
func (l *lines) of(path string) int {
	_, line := l.find(path)
	return line
}

// find is the field at a path, or the nearest that there is above it, and its line; nil
// where the document cannot be read.
func (l *lines) find(path string) (*yamlv3.Node, int) {
	if !l.read {
		l.read = true
		var document yamlv3.Node
		if yamlv3.Unmarshal(l.text, &document) == nil && len(document.Content) > 0 {
			l.root = document.Content[0]
		}
	}
	if l.root == nil {
		return nil, l.from
	}
	line, node, above := l.root.Line, l.root, 0
	for _, step := range steps(path) {
		if inner := within(node); inner != nil {
			above, node = above+node.Line, inner
		}
		next, at := child(node, step)
		if next == nil {
			break
		}
		node, line = next, above+at
	}
	return node, l.from + line - 1
}

// within is the YAML in a text of several lines, as ConfigMaps hold it; nil for others.
func within(n *yamlv3.Node) *yamlv3.Node {
	var document yamlv3.Node
	if n.Kind != yamlv3.ScalarNode || n.Style&yamlv3.LiteralStyle == 0 || yamlv3.Unmarshal([]byte(n.Value), &document) != nil || len(document.Content) == 0 {
		return nil
	}
	return document.Content[0]
}

// step is one part of a path: the name of a field, or what stands in brackets.
type step struct {
	text     string
	brackets bool
}

// steps cuts a path.
func steps(path string) (out []step) {
	for path != "" {
		if rest, ok := strings.CutPrefix(path, "["); ok {
			end := closing(rest)
			out = append(out, step{rest[:end], true})
			path = rest[min(end+1, len(rest)):]
			continue
		}
		path = strings.TrimPrefix(path, ".")
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		if end > 0 {
			out = append(out, step{path[:end], false})
		} else if path == "" || path[0] != '[' {
			break
		}
		path = path[end:]
	}
	return out
}

// closing is where the bracket ends that a text is behind.
func closing(text string) int {
	depth := 1
	for i, r := range text {
		switch r {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// child is a part of a node with the line where it begins; nil when there is none.
func child(n *yamlv3.Node, s step) (*yamlv3.Node, int) {
	for n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s.text {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yamlv3.SequenceNode:
		if !s.brackets {
			return nil, 0
		}
		if i, err := strconv.Atoi(s.text); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
		for _, e := range n.Content { // by its name, as "subsets[v1]", or port, as "portLevelSettings[port 80]"
			if named(e, s.text) {
				return e, e.Line
			}
		}
	}
	return nil, 0
}

// named tells whether an element of a list is the one that a text means.
func named(e *yamlv3.Node, text string) bool {
	if e.Kind == yamlv3.ScalarNode {
		return e.Value == text
	}
	if port, ok := strings.CutPrefix(text, "port "); ok {
		if n, _ := child(e, step{"port", false}); n != nil {
			number, _ := child(n, step{"number", false})
			return number != nil && number.Value == port
		}
		return false
	}
	name, _ := child(e, step{"name", false})
	return name != nil && name.Value == text
}
