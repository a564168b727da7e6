package check

import (
	"fmt"
	"io"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// commands are GitHub's names of the severities.
var commands = map[object.Severity]string{object.SeverityError: "error", object.SeverityWarning: "warning", object.SeverityNote: "notice"}

// writeGitHub writes workflow commands, which GitHub shows at the lines of a pull request.
func writeGitHub(w io.Writer, found *Findings) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, e := range found.Entries {
		var properties []string
		if e.File != "" && e.File != standardInput {
			properties = append(properties, "file="+property.Replace(e.File))
			if e.Line > 0 {
				properties = append(properties, fmt.Sprintf("line=%d", e.Line))
			}
		}
		properties = append(properties, "title="+property.Replace(string(e.Code)))
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", commands[e.Severity], strings.Join(properties, ","), data.Replace(e.said())); err != nil {
			return err
		}
	}
	return nil
}
