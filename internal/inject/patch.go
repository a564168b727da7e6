package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Patch is the JSON patch (RFC 6902) that injects a pod, given as the JSON that
// an API server sent; nil when the pod stays as it is. p.Namespace is that of a
// pod whose JSON names none. Fields that this program does not know are kept.
func Patch(pod []byte, p Params) (patch []byte, notes []string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(pod))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, nil, fmt.Errorf("reading the pod: %w", err)
	}
	if !json.Valid(pod) {
		return nil, nil, errors.New("reading the pod: something follows it")
	}
	if tree == nil {
		return nil, nil, errors.New("reading the pod: it is null")
	}
	_, described := tree["metadata"].(map[string]any)
	changed, notes, err := injectTemplate(tree, tree, "Pod", p)
	if err != nil || !changed {
		return nil, notes, err
	}
	// "add" replaces what is there already.
	steps := []operation{{"add", "/spec", tree["spec"]}, {"add", "/metadata", tree["metadata"]}}
	if metadata, ok := tree["metadata"].(map[string]any); ok && described {
		steps = []operation{steps[0], {"add", "/metadata/annotations", metadata["annotations"]}, {"add", "/metadata/labels", metadata["labels"]}}
	}
	patch, err = json.Marshal(steps)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the patch of the pod: %w", err)
	}
	return patch, notes, nil
}
