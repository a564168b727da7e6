package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// render writes a tree as block YAML, indented by a number of columns.
func render(tree any, indent int) ([]byte, error) {
	var out bytes.Buffer
	enc := yamlv3.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent() // as kubectl writes it
	if err := enc.Encode(ordered(tree)); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	if indent == 0 {
		return out.Bytes(), nil
	}
	var lines strings.Builder
	for line := range strings.Lines(out.String()) {
		if strings.TrimSpace(line) != "" {
			lines.WriteString(strings.Repeat(" ", indent))
		}
		lines.WriteString(line)
	}
	return []byte(lines.String()), nil
}

// ordered gives the fields of each object the order in which people write them.
func ordered(tree any) *yamlv3.Node {
	switch tree := tree.(type) {
	case map[string]any:
		node := &yamlv3.Node{Kind: yamlv3.MappingNode}
		if len(tree) == 0 {
			node.Style = yamlv3.FlowStyle
		}
		for _, key := range slices.SortedFunc(maps.Keys(tree), fieldOrder) {
			node.Content = append(node.Content, scalar(key), ordered(tree[key]))
		}
		return node
	case []any:
		node := &yamlv3.Node{Kind: yamlv3.SequenceNode}
		if len(tree) == 0 {
			node.Style = yamlv3.FlowStyle
		}
		for _, item := range tree {
			node.Content = append(node.Content, ordered(item))
		}
		return node
	case json.Number:
		return &yamlv3.Node{Kind: yamlv3.ScalarNode, Value: tree.String()}
	}
	return scalar(tree)
}

func scalar(value any) *yamlv3.Node {
	node := &yamlv3.Node{}
	if err := node.Encode(value); err != nil { // only strings, booleans and nil come here
		return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!null"}
	}
	if text, ok := value.(string); ok && strings.Contains(text, "\n") {
		node.Style = yamlv3.DoubleQuotedStyle // keeps its meaning at any indentation
	}
	return node
}

// fieldOrder puts what an object is before what it has.
func fieldOrder(a, b string) int {
	rank := func(key string) int {
		i := slices.Index([]string{"apiVersion", "kind", "metadata", "name", "image", "imagePullPolicy", "restartPolicy", "command", "args"}, key)
		if i < 0 {
			return 100
		}
		return i
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// flow writes a tree on one line, as JSON, which is YAML in any place.
func flow(tree any) (string, bool) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return "", false
	}
	return strings.TrimSuffix(out.String(), "\n"), true
}
