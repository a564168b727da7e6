package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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
	line := 1
	for _, part := range split(text) {
		injected, err := part.text, error(nil)
		if !part.separator {
			injected, err = document(part.text, p, report)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("document at line %d: %w", line, err))
		}
		result.Write(injected)
		line += bytes.Count(part.text, []byte("\n"))
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	_, err = out.Write(result.Bytes())
	return err
}

// Check reports each pod template of the YAML or JSON documents of text that
// cannot be injected, by the line at which its document begins. What is no YAML
// and what would not be injected are passed over.
func Check(text []byte, report func(line int, err error)) {
	p := DefaultParams()
	line := 1
	for _, part := range split(text) {
		at := line
		line += bytes.Count(part.text, []byte("\n"))
		if part.separator || directive.Match(part.text) {
			continue
		}
		tree, err := decode(part.text)
		object, ok := tree.(map[string]any)
		if err != nil || !ok {
			continue
		}
		kind, _ := object["kind"].(string)
		version, _ := object["apiVersion"].(string)
		if _, err := injectObject(object, kind, version, p, func(string, string) {}); err != nil {
			report(at, err)
		}
	}
}

// part is a document or what stands between two.
type part struct {
	text      []byte
	separator bool
}

// marker is a line that begins or ends a YAML document; the second group is
// what else stands on it.
var marker = regexp.MustCompile(`(?m)^(---|\.\.\.)([ \t][^\n]*)?\r?(\n|\z)`)

// split cuts text into documents and the lines between them, alternating and
// beginning with a document; both may be empty. The parts together are text.
func split(text []byte) []part {
	var parts []part
	at := 0
	for _, m := range marker.FindAllSubmatchIndex(text, -1) {
		end := m[1]
		if rest := bytes.TrimSpace(text[max(m[4], 0):max(m[5], 0)]); len(rest) > 0 && rest[0] != '#' {
			end = m[0] // the document begins on the marker's line
		}
		parts = append(parts, part{text: text[at:m[0]]}, part{text: text[m[0]:end], separator: true})
		at = end
	}
	return append(parts, part{text: text[at:]})
}

// directive is a line that speaks about YAML itself.
var directive = regexp.MustCompile(`\A([ \t]*(#[^\n]*)?\r?\n)*%`)

// document injects one document.
func document(text []byte, p Params, report Report) ([]byte, error) {
	if directive.Match(text) {
		return text, nil
	}
	tree, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return text, nil
	}
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	changed, err := injectObject(object, kind, version, p, report)
	if err != nil || !changed {
		return text, err
	}
	original, err := decode(text)
	if err != nil {
		return nil, err
	}
	result, lossy, err := edit(text, original, object)
	if err != nil {
		return nil, err
	}
	if lossy {
		report(objectName(object, kind, p.Namespace), "written anew without its comments: it uses YAML (such as aliases) that cannot be added to in place")
	}
	return result, nil
}
