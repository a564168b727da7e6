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
		for _, w := range d.objects {
			o := Object{Change: mesh.Change{Ref: w.ref}, Findings: w.findings, Line: lines[i]}
			if w.value != nil {
				o.Object = w.value
			}
			objects = append(objects, o)
		}
		findings = append(findings, d.findings...)
		for _, k := range d.unknown {
			findings = append(findings, mesh.Finding{Object: mesh.Ref{Kind: "Kind", Name: k.String()}, Code: mesh.CodeUnknownKind, Message: "no such kind is known; it is not read"})
		}
	}
	return objects, findings, errors.Join(broken...)
}
