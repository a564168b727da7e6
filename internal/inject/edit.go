package inject

import "sigs.k8s.io/yaml"

// edit writes target in place of the document text.
func edit(text []byte, target map[string]any) ([]byte, error) {
	return yaml.Marshal(target)
}
