package informers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// document is what one YAML document of a file holds: an object, those of a
// List, or none that the mesh reads.
type document struct {
	objects []*written
	unknown []schema.GroupKind // kinds that nobody here knows
	// findings are about the document itself.
	findings []object.Finding
}

// written is an object as it stands in a file.
type written struct {
	ref      object.Ref
	path     string     // in its document
	value    kubeObject // nil: it cannot be read
	closed   kubeObject // what is in force instead where the mesh has none; nil: nothing
	print    uint64     // its fingerprint
	findings []object.Finding
}

// splitDocuments cuts a YAML stream at its "---" lines. The pieces share the
// memory of the text. Those without content are left out; line is where each
// begins, from 1.
func splitDocuments(text []byte) (pieces [][]byte, lines []int) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	begin, first, n, content := 0, 1, 0, false
	end := func(at int) {
		if content {
			pieces, lines = append(pieces, text[begin:at]), append(lines, first)
		}
		content = false
	}
	for at := 0; at < len(text); {
		n++
		line, next := text[at:], len(text)
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, next = line[:i], at+i+1
		}
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && (len(rest) == 0 || strings.IndexByte(" \t\r", rest[0]) >= 0) {
			end(at)
			begin, first, line = at+3, n, rest
		}
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' && t[0] != '%' && !bytes.Equal(t, []byte("...")) {
			content = true
		}
		at = next
	}
	end(len(text))
	return pieces, lines
}

// header is what every object begins with.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// parser reads documents.
type parser struct {
	kinds  map[schema.GroupKind]*kind
	others map[string][]string // kinds that are known and not read, by group
}

func newParser() *parser {
	p := &parser{kinds: map[schema.GroupKind]*kind{}, others: otherKinds()}
	for _, k := range kinds() {
		p.kinds[k.groupKind()] = k
	}
	return p
}

// parse reads one document that begins at a line of its file. The error says
// that it is not YAML, or not an object of the API. It returns what the text says in JSON, too.
func (p *parser) parse(text []byte, line int) (*document, []byte, error) {
	js, strict := yaml.YAMLToJSONStrict(text)
	var err error
	if strict != nil {
		js, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: correct the YAML", countFrom(line, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")))
	}
	d := &document{}
	if string(js) == "null" {
		return d, js, nil
	}
	if err := p.object(d, js, header{}, ""); err != nil {
		return nil, nil, err
	}
	if strict != nil {
		d.tellRepeated(text, line)
	}
	return d, js, nil
}

var lineNumber = regexp.MustCompile(`\bline \d+`)

// countFrom makes the lines in the parser's message those of the file.
func countFrom(line int, message string) string {
	return lineNumber.ReplaceAllStringFunc(message, func(s string) string {
		n, err := strconv.Atoi(strings.TrimPrefix(s, "line "))
		if err != nil {
			return s
		}
		return "line " + strconv.Itoa(n+line-1)
	})
}

// object reads one object, or each of a List. What its header lacks is taken
// from the list's. A list that is within another is none: each is read once. at is where it
// stands in the document.
func (p *parser) object(d *document, js []byte, list header, at string) error {
	var h header
	if err := kjson.UnmarshalCaseSensitivePreserveInts(js, &h); err != nil {
		return fmt.Errorf("not an object of the Kubernetes API: %w", err)
	}
	h.APIVersion, h.Kind = cmp.Or(h.APIVersion, list.APIVersion), cmp.Or(h.Kind, list.Kind)
	if h.APIVersion == "" || h.Kind == "" {
		return errors.New("not an object of the Kubernetes API: it needs apiVersion and kind")
	}
	if h.Items != nil && strings.HasSuffix(h.Kind, "List") {
		if at != "" {
			return errors.New("a list within a list: put its items into the outer one")
		}
		of := header{}
		if h.Kind != "List" {
			of = header{APIVersion: h.APIVersion, Kind: strings.TrimSuffix(h.Kind, "List")}
		}
		for i, item := range h.Items {
			at := fmt.Sprintf("items[%d]", i)
			if err := p.object(d, item, of, at); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
		return nil
	}
	gv, err := schema.ParseGroupVersion(h.APIVersion)
	if err != nil {
		return fmt.Errorf("apiVersion: %w", err)
	}
	k := p.kinds[schema.GroupKind{Group: gv.Group, Kind: h.Kind}]
	if k == nil {
		p.foreign(d, gv.Group, h)
		return nil
	}
	if h.Metadata.Name == "" {
		return fmt.Errorf("a %s without a name: it needs metadata.name", h.Kind)
	}
	ref := object.Ref{Kind: k.mesh, Name: h.Metadata.Name}
	if !k.cluster {
		ref.Namespace = cmp.Or(h.Metadata.Namespace, "default")
	}
	if !slices.Contains(k.versions, gv.Version) {
		d.findings = append(d.findings, object.Finding{Object: ref, Field: "apiVersion", Code: object.CodeUnknownKind,
			Message: fmt.Sprintf("there is no version %s of this kind: the object is not used; write %s", gv.Version, schema.GroupVersion{Group: k.group, Version: k.versions[0]})})
		return nil
	}
	if k.mesh == object.KindConfigMap && !readConfigMap(js, h) {
		return nil
	}
	w := &written{ref: ref, path: at}
	w.value, w.findings = k.decode(ref, js)
	if w.value == nil {
		w.closed = k.closed(ref, js)
	}
	for _, o := range []kubeObject{w.value, w.closed} {
		if o != nil {
			k.trim(o)
			o.SetNamespace(ref.Namespace)
			w.print = fingerprint(o)
		}
	}
	d.objects = append(d.objects, w)
	return nil
}

// meshConfigMap is the ConfigMap of the mesh configuration, in the root namespace.
const meshConfigMap = "istio"

// readConfigMap tells whether the mesh may ask for a ConfigMap: for the mesh
// configuration, or for a certificate of an authority. All others belong to
// applications.
func readConfigMap(js []byte, h header) bool {
	return h.Metadata.Name == meshConfigMap || bytes.Contains(js, []byte(`"ca.crt"`)) || bytes.Contains(js, []byte(`"cacert"`))
}
