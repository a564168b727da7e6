package informers

import (
	"errors"
	"fmt"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Object is an object as somebody wrote it.
type Object struct {
	mesh.Change
	// Findings are what is wrong with how it is written: fields that its kind
	// does not have, and values of a wrong type. With those Change.Object is nil.
	Findings []object.Finding
	Line     int // where its document begins, from 1
	// Path leads to the object in its document, as "items[2]" does in a list; empty: it is the document.
	Path string
}

// Document is one document of a YAML or JSON text.
type Document struct {
	Line     int    // where it begins, from 1
	Text     []byte // a part of the text that was read
	Objects  []Object
	Findings []object.Finding // about objects that the mesh does not read
	JSON     []byte           // what the text says
	Err      error            // it is no YAML, or no object of the API; with the other fields empty
}

// Documents reads a YAML or JSON text document by document, lists too, as a directory
// does.
func Documents(text []byte) []Document {
	p := newParser()
	pieces, lines := splitDocuments(text)
	out := make([]Document, 0, len(pieces))
	for i, piece := range pieces {
		one := Document{Line: lines[i], Text: piece}
		d, js, err := p.parse(piece, lines[i])
		if err != nil {
			one.Err = err
		} else {
			one.Objects, one.Findings = d.contents(lines[i])
			one.JSON = js
		}
		out = append(out, one)
	}
	return out
}

// Parse reads the objects of a YAML or JSON text, lists too, as a directory
// does. Findings are about documents that hold none that the mesh reads. The
// error names all documents that are no objects; what the others hold is
// returned nevertheless.
func Parse(text []byte) (objects []Object, findings []object.Finding, err error) {
	var broken []error
	for _, d := range Documents(text) {
		if d.Err != nil {
			broken = append(broken, fmt.Errorf("document at line %d: %w", d.Line, d.Err))
		}
		objects, findings = append(objects, d.Objects...), append(findings, d.Findings...)
	}
	return objects, findings, errors.Join(broken...)
}

// ParseJSON reads one object, or a list, of JSON as an API server writes it. Findings and
// the error are as of Parse.
func ParseJSON(js []byte) (objects []Object, findings []object.Finding, err error) {
	var d document
	if err := newParser().object(&d, js, header{}, ""); err != nil {
		return nil, nil, err
	}
	objects, findings = d.contents(1)
	return objects, findings, nil
}

// contents is what a document that begins at a line holds.
func (d *document) contents(line int) (objects []Object, findings []object.Finding) {
	for _, w := range d.objects {
		o := Object{Change: mesh.Change{Ref: w.ref}, Findings: w.findings, Line: line, Path: w.path}
		if w.value != nil {
			o.Object = w.value
		}
		objects = append(objects, o)
	}
	findings = d.findings
	for _, k := range d.unknown {
		findings = append(findings, object.Finding{Object: object.Ref{Kind: "Kind", Name: k.String()}, Code: object.CodeForeign, Message: "no such kind is known; it is not read"})
	}
	return objects, findings
}
