package informers

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxDepth bounds how deep folders are followed; symbolic links may make circles.
const maxDepth = 16

// listing is what a look at the directory found.
type listing struct {
	root   string            // the path of the directory, from the top
	real   string            // the same without links
	linked bool              // there are links in it
	files  map[string]string // real paths by the path below the directory
	// names are the files by the paths by which the system speaks of them: their
	// own, and that of what they link to.
	names   map[string]string
	folders map[string]bool // real paths to watch; true: for all that is in it, not for one file
	// unreadable are folders whose content cannot be told, by the path below
	// the directory: what was known of them stays.
	unreadable map[string]error
}

// list looks at all of a directory. Links are followed, hidden entries are not
// looked at: a volume of Kubernetes keeps its versions in such. The error says
// that the directory itself cannot be read.
func list(root string) (*listing, error) {
	l := &listing{files: map[string]string{}, names: map[string]string{}, folders: map[string]bool{}, unreadable: map[string]error{}}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	l.root = absolute
	l.folders[filepath.Dir(absolute)] = false // the directory itself may be swapped
	if l.real, err = filepath.EvalSymlinks(absolute); err != nil {
		return nil, err
	}
	l.linked = l.real != l.root
	if err := l.folder("", l.real, nil); err != nil {
		return nil, err
	}
	return l, nil
}

// folder lists one folder; within are the folders that hold it, to notice circles.
func (l *listing) folder(below, real string, within []string) error {
	entries, err := os.ReadDir(real)
	if err != nil {
		return err
	}
	l.folders[real] = true
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		at, to, mode := path.Join(below, e.Name()), filepath.Join(real, e.Name()), e.Type()
		if mode&fs.ModeSymlink != 0 {
			l.linked = true
			target, err := filepath.EvalSymlinks(to)
			if err != nil {
				if isManifest(at) {
					l.files[at], l.names[to] = to, at // reading it says what is wrong
				}
				continue
			}
			info, err := os.Stat(target)
			if err != nil {
				continue
			}
			mode = info.Mode().Type()
			if mode.IsRegular() && isManifest(at) {
				l.names[to] = at
				if folder := filepath.Dir(target); !l.folders[folder] {
					l.folders[folder] = false
				}
			}
			to = target
		}
		switch {
		case mode.IsDir():
			if len(within) >= maxDepth || slices.Contains(within, to) || to == real {
				continue
			}
			if err := l.folder(at, to, append(within, real)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				l.unreadable[at] = err
			}
		case mode.IsRegular() && isManifest(at):
			l.files[at], l.names[to] = to, at
		}
	}
	return nil
}

// still tells whether the directory holds the same files in the same places.
func (l *listing) still() bool {
	now, err := list(l.root)
	return err == nil && now.real == l.real && maps.Equal(now.files, l.files)
}

// isManifest tells whether the name is one of a file with objects.
func isManifest(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// matters tells whether an event about a path that is none of the known files
// may be about the directory's content: a new manifest, a folder, a link, or the
// directory itself. Others' files in the folders around it are not.
func (l *listing) matters(name string) bool {
	if name == l.root {
		return true
	}
	if _, folder := l.folders[name]; folder {
		return true
	}
	if !l.folders[filepath.Dir(name)] {
		return false
	}
	base := filepath.Base(name)
	if isManifest(base) && !strings.HasPrefix(base, ".") || strings.HasPrefix(base, "..") {
		return true
	}
	info, err := os.Lstat(name)
	return err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0)
}

// keeps tells whether the file lies in a folder that could not be read.
func (l *listing) keeps(file string) bool {
	for folder := range l.unreadable {
		if strings.HasPrefix(file, folder+"/") {
			return true
		}
	}
	return false
}

// unreadableFinding says that a file or folder cannot be read.
func unreadableFinding(name string, err error) object.Finding {
	return object.Finding{Object: object.Ref{Kind: KindFile, Name: name}, Code: object.CodeInvalid,
		Message: fmt.Sprintf("cannot be read: %v; what was read from it before stays in force: give the control plane the right to read it, or remove it", err)}
}
