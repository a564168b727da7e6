package check

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Entry is a finding with where it stands.
type Entry struct {
	object.Finding
	Severity object.Severity
	File     string // as it was named, or found in a folder; empty: no file has the object
	Line     int    // of the field in the file, from 1; 0: unknown
}

// Findings is all that was found.
type Findings struct {
	Objects int // how many were looked at
	Entries []Entry
}

// count is how many entries are of a severity.
func (f *Findings) count(s object.Severity) (n int) {
	for _, e := range f.Entries {
		if e.Severity == s {
			n++
		}
	}
	return n
}

// add notes a finding, at most once.
func (f *Findings) add(finding object.Finding, severity object.Severity, at position) {
	f.Entries = append(f.Entries, Entry{Finding: finding, Severity: severity, File: at.file, Line: at.line(finding.Field)})
}

// sort puts the entries in the order of files and lines.
func (f *Findings) sort() {
	slices.SortStableFunc(f.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(rank(a.Severity), rank(b.Severity)),
			cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	f.Entries = slices.CompactFunc(f.Entries, func(a, b Entry) bool { return a == b })
}

// rank orders severities, the worst first.
func rank(s object.Severity) int {
	return slices.Index([]object.Severity{object.SeverityError, object.SeverityWarning, object.SeverityNote}, s)
}

// severityOf is the severity of what is wrong with how an object is written, or with the
// object by itself.
func severityOf(f object.Finding) object.Severity {
	switch f.Code {
	case object.CodeUnreadable, object.CodeUnknownKind, object.CodeInvalid:
		return object.SeverityError
	case object.CodeUnknownField: // of Kubernetes there may be newer versions than this one knows
		if f.Object.Kind.Istio() {
			return object.SeverityError
		}
	case object.CodeForeign, object.CodeNotLookedUp:
		return object.SeverityNote
	}
	return object.SeverityWarning
}

// position is where an object stands.
type position struct {
	file string
	at   *lines // nil: the lines of its fields are not known
	path string // of the object in its document
	from int    // where its document begins
}

// line is that of a field of the object.
func (p position) line(field string) int {
	if p.at == nil {
		return p.from
	}
	return p.at.of(strings.TrimPrefix(p.path+"."+field, "."))
}
