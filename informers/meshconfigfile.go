package informers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// meshConfigFile is the file of --mesh-config; the zero path means that there
// is none.
type meshConfigFile struct {
	path    string
	report  Report
	stamp   stamp
	text    string
	failed  bool
	writing bool // somebody had it open for writing at the last look
	looks   int  // in a row that found it so
}

// newMeshConfigFile reads the file once, so that a wrong path ends the start.
func newMeshConfigFile(path string, report Report) (*meshConfigFile, error) {
	m := &meshConfigFile{path: path, report: report}
	if path == "" {
		return m, nil
	}
	if _, _, err := readFile(path, false); err != nil {
		return nil, fmt.Errorf("reading the file of --mesh-config: %w: name a file that exists and can be read", err)
	}
	return m, nil
}

// folder is where changes of the file show; empty without a file.
func (m *meshConfigFile) folder() string {
	if m.path == "" {
		return ""
	}
	absolute, err := filepath.Abs(m.path)
	if err != nil {
		return ""
	}
	return filepath.Dir(absolute)
}

// look is the change of the file since the last look, if there is one. sure
// reads it even if nothing outside tells that it changed. A file that cannot be
// read is reported and stays what it was.
func (m *meshConfigFile) look(sure bool) []mesh.Change {
	if m.path == "" {
		return nil
	}
	if info, err := os.Stat(m.path); err == nil && !sure && m.stamp.same(stamp{info.Size(), info.ModTime(), info}) {
		return nil
	}
	text, s, err := readFile(m.path, m.stamp.info != nil && m.looks < writingPatience)
	if m.writing = errors.Is(err, errBeingWritten); m.writing {
		m.looks++
		return nil
	}
	m.looks = 0
	const what = "mesh config file"
	if err != nil {
		m.failed = true
		m.report(what, []object.Finding{unreadableFinding(m.path, err)})
		return nil
	}
	if m.failed {
		m.failed = false
		m.report(what, nil)
	}
	same := m.stamp.info != nil && string(text) == m.text
	m.text, m.stamp = string(text), s
	if same {
		return nil
	}
	return []mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: m.path}, Object: text}}
}
