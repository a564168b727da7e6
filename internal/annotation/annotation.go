// Package annotation reads YAML in annotations of objects. Whoever may write a Pod, or
// reaches the webhook, chooses that text, and it is read for others.
package annotation

import (
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// What is read of an annotation, each far more than people write.
const (
	MaxBytes  = 64 << 10
	maxValues = 10_000 // mappings, lists, their keys and values
	maxDepth  = 32     // of values in values; Istio's ProxyConfig nests six deep
)

// Read reads the YAML of an annotation into a value, as encoding/json reads JSON. The error
// says why it cannot be read: it is not YAML, into does not fit it, or it is larger or
// deeper than annotations are read. Aliases are refused: a few kilobytes of them stand for
// gigabytes. Nothing is made of the text before it is known to be small, and the error quotes
// no more than a line of it.
func Read(text string, into any) error {
	if len(text) > MaxBytes {
		return fmt.Errorf("it has %d bytes, more than %d: say less", len(text), MaxBytes)
	}
	var document yamlv3.Node // which stands for the text as it is written, aliases too
	if err := yamlv3.Unmarshal([]byte(text), &document); err != nil {
		return fmt.Errorf("it is not YAML: %w", short(err))
	}
	left := maxValues
	if err := small(&document, maxDepth, &left); err != nil {
		return err
	}
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		return short(err)
	}
	return nil
}

// small is an error when a node and those below it are more than is read.
func small(n *yamlv3.Node, depth int, left *int) error {
	*left--
	switch {
	case n.Kind == yamlv3.AliasNode:
		return fmt.Errorf("line %d has an alias (*%.40s): write out what it stands for", n.Line, n.Value)
	case *left < 0:
		return fmt.Errorf("it has more than %d values: say less", maxValues)
	case depth < 0:
		return fmt.Errorf("line %d nests values more than %d deep: make it flatter", n.Line, maxDepth)
	}
	for _, c := range n.Content {
		if err := small(c, depth-1, left); err != nil {
			return err
		}
	}
	return nil
}

// maxQuoted is how much of an error is told, which may quote a value of any length.
const maxQuoted = 200

func short(err error) error {
	if text := err.Error(); len(text) > maxQuoted {
		return fmt.Errorf("%.*s…", maxQuoted, text)
	}
	return err
}
