package check

import (
	"bytes"
	"cmp"
	"regexp"
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

// mention is the first line of the document that names a Secret in a field that is for one;
// the document if none does. MUTUAL servers name a second Secret, for the authorities, by
// the ending -cacert, and do not write that.
func (p position) mention(secret string) position {
	if p.at != nil {
		p.from += max(0, namedAt(p.at.text, strings.TrimSuffix(secret, "-cacert")))
	}
	p.at = nil
	return p
}

// namedAt is by how many lines the one that names a Secret follows the first; -1 when none does.
func namedAt(text []byte, secret string) int {
	if !bytes.Contains(text, []byte(secret)) {
		return -1
	}
	value := `["']?(kubernetes://)?([^/\s"']+/)?` + regexp.QuoteMeta(secret) + `(-cacert)?["']?\s*([,}\]#\n]|$)`
	for _, field := range []string{`(credentialName|caCertCredentialName|secretName)["']?\s*:\s*`, `(?s)credentialNames["']?\s*:.*?[\s\[]`, `(?s)[cC]ertificateRefs["']?\s*:.*?\bname["']?\s*:\s*`} {
		for _, found := range regexp.MustCompile(field+value).FindAllIndex(text, -1) {
			at := found[0] + bytes.LastIndex(text[found[0]:found[1]], []byte(secret))
			line := bytes.TrimSpace(text[bytes.LastIndexByte(text[:at], '\n')+1 : at])
			if bytes.HasPrefix(line, []byte("{")) && !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
				continue // the text of an annotation, as kubectl writes it
			}
			return bytes.Count(text[:at], []byte("\n"))
		}
	}
	return -1
}
