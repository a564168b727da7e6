package check

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// about is where the tool is described.
const about = "https://github.com/fairway-mesh/fairway"

// writeSARIF writes SARIF 2.1.0, which code scanning reads.
func writeSARIF(w io.Writer, found *Findings) error {
	run := sarif.NewRunWithInformationURI("fairway check", about)
	rules := map[object.Code]int{}
	for i, c := range object.Codes() {
		rules[c.Code] = i
		run.AddRule(string(c.Code)).WithDescription(c.Meaning).WithHelp(sarif.NewMultiformatMessageString().WithText(c.Remedy))
	}
	for _, e := range found.Entries {
		result := run.CreateResultForRule(string(e.Code)).WithLevel(string(e.Severity)).WithMessage(sarif.NewTextMessage(e.said()))
		result.WithRuleIndex(rules[e.Code])
		if e.File == "" || e.File == standardInput {
			continue
		}
		place := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(filepath.ToSlash(e.File)))
		if e.Line > 0 {
			place.WithRegion(sarif.NewRegion().WithStartLine(e.Line))
		}
		result.AddLocation(sarif.NewLocationWithPhysicalLocation(place))
	}
	all := sarif.NewReport()
	all.AddRun(run)
	if err := all.PrettyWrite(w); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}
