package check

import (
	"fmt"
	"io"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// words begin lines of text, by severity.
var words = map[object.Severity]string{object.SeverityError: "invalid", object.SeverityWarning: "warning", object.SeverityNote: "note"}

// writeText writes a line for each finding, for people.
func writeText(w io.Writer, found *Findings) error {
	for _, e := range found.Entries {
		if _, err := fmt.Fprintf(w, "%-8s %s%s\n", words[e.Severity], e.prefix(), e.said()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d objects: %d invalid, %d warnings\n", found.Objects, found.count(object.SeverityError), found.count(object.SeverityWarning))
	return err
}

// prefix says where the finding is, "file:line: "; empty where no file has it.
func (e Entry) prefix() string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File + ": "
	}
	return fmt.Sprintf("%s:%d: ", e.File, e.Line)
}

// said is the finding in a line. One about a file or a set of files needs no name.
func (e Entry) said() string {
	if e.Code == object.CodeUnreadable || e.Code == object.CodeNotLookedUp {
		return e.Message
	}
	return e.String()
}
