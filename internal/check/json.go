package check

import (
	"encoding/json"
	"io"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// report is what -o json writes.
type report struct {
	Objects  int     `json:"objects"`
	Errors   int     `json:"errors"`
	Warnings int     `json:"warnings"`
	Findings []entry `json:"findings"`
}

// entry is a finding as -o json writes it.
type entry struct {
	Code     object.Code     `json:"code"`
	Severity object.Severity `json:"severity"`
	Object   objectName      `json:"object"`
	Field    string          `json:"field,omitempty"`
	Message  string          `json:"message"`
	Winner   *objectName     `json:"winner,omitempty"`
	File     string          `json:"file,omitempty"`
	Line     int             `json:"line,omitempty"`
}

// objectName names an object.
type objectName struct {
	Kind      object.Kind `json:"kind"`
	Namespace string      `json:"namespace,omitempty"`
	Name      string      `json:"name,omitempty"`
}

// writeJSON writes what programs read.
func writeJSON(w io.Writer, found *Findings) error {
	r := report{Objects: found.Objects, Errors: found.count(object.SeverityError), Warnings: found.count(object.SeverityWarning), Findings: []entry{}}
	for _, e := range found.Entries {
		j := entry{Code: e.Code, Severity: e.Severity, Object: objectName(e.Object), Field: e.Field, Message: e.Message, File: e.File, Line: e.Line}
		if e.Winner != (object.Ref{}) {
			winner := objectName(e.Winner)
			j.Winner = &winner
		}
		r.Findings = append(r.Findings, j)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}
