package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"sigs.k8s.io/yaml"
)

// MaxInput is the size in bytes of the manifests that Documents reads.
const MaxInput = 64 << 20

// Report tells the user something about an object, such as "Deployment shop/web".
type Report func(object, message string)

// Documents injects the pod templates of the YAML or JSON documents of in and
// writes them to out. Documents that it does not change are written byte for
// byte. On error nothing is written; the error names each document that is at
// fault.
func Documents(in io.Reader, out io.Writer, p Params, report Report) error {
	if err := p.validate(); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(in, MaxInput+1))
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	if len(text) > MaxInput {
		return fmt.Errorf("the manifests have more than %d bytes: give them in parts", MaxInput)
	}
	var result bytes.Buffer
	var failures []error
	for i, part := range split(text) {
		if part.separator {
			result.Write(part.text)
			continue
		}
		injected, err := document(part.text, p, report)
		if err != nil {
			failures = append(failures, fmt.Errorf("document %d: %w", i/2+1, err))
			continue
		}
		result.Write(injected)
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	_, err = out.Write(result.Bytes())
	return err
}

// part is a document or what stands between two.
type part struct {
	text      []byte
	separator bool
}

// separatorLine is a line that ends a YAML document, with a comment at most.
var separatorLine = regexp.MustCompile(`(?m)^(---|\.\.\.)[ \t]*(#.*)?\r?(\n|\z)`)

// split cuts text into documents and the lines between them, alternating and
// beginning with a document, which may be empty. The parts together are text.
func split(text []byte) []part {
	var parts []part
	at := 0
	for _, m := range separatorLine.FindAllIndex(text, -1) {
		parts = append(parts, part{text: text[at:m[0]]}, part{text: text[m[0]:m[1]], separator: true})
		at = m[1]
	}
	return append(parts, part{text: text[at:]})
}

// document injects one document.
func document(text []byte, p Params, report Report) ([]byte, error) {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return text, nil
	}
	changed, err := injectObject(object, p, report)
	if err != nil || !changed {
		return text, err
	}
	return edit(text, object)
}
