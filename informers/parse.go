package informers

import (
	"errors"
	"fmt"

	"github.com/fairway-mesh/fairway/mesh"
)

// Object is an object as somebody wrote it.
type Object struct {
	mesh.Change
	// Findings are what is wrong with how it is written: fields that its kind
	// does not have, and values of a wrong type. With those Change.Object is nil.
	Findings []mesh.Finding
	Line     int // where its document begins, from 1
}

// Parse reads the objects of a YAML or JSON text, lists too, as a directory
// does. Findings are about documents that hold none that the mesh reads. The
// error names all documents that are no objects; what the others hold is
// returned nevertheless.
func Parse(text []byte) (objects []Object, findings []mesh.Finding, err error) {
	p := newParser()
	var broken []error
	pieces, lines := splitDocuments(text)
	for i, piece := range pieces {
		d, err := p.parse(piece, lines[i])
		if err != nil {
			broken = append(broken, fmt.Errorf("document at line %d: %w", lines[i], err))
			continue
		}
		more, about := d.contents(lines[i])
		objects, findings = append(objects, more...), append(findings, about...)
	}
	return objects, findings, errors.Join(broken...)
}

// ParseJSON reads one object, or a list, of JSON as an API server writes it. Findings and
// the error are as of Parse.
func ParseJSON(js []byte) (objects []Object, findings []mesh.Finding, err error) {
	var d document
	if err := newParser().object(&d, js, header{}, false); err != nil {
		return nil, nil, err
	}
	objects, findings = d.contents(1)
	return objects, findings, nil
}

// contents is what a document that begins at a line holds.
func (d *document) contents(line int) (objects []Object, findings []mesh.Finding) {
	for _, w := range d.objects {
		o := Object{Change: mesh.Change{Ref: w.ref}, Findings: w.findings, Line: line}
		if w.value != nil {
			o.Object = w.value
		}
		objects = append(objects, o)
	}
	findings = d.findings
	for _, k := range d.unknown {
		findings = append(findings, mesh.Finding{Object: mesh.Ref{Kind: "Kind", Name: k.String()}, Code: mesh.CodeUnknownKind, Message: "no such kind is known; it is not read"})
	}
	return objects, findings
}
