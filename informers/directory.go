package informers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// DirConfig says what a Directory reads.
type DirConfig struct {
	// Path is the directory. Its *.yaml, *.yml and *.json files are read, those
	// of sub-folders too; hidden ones are not.
	Path string
	// MeshConfig is a file with a MeshConfig; empty: none.
	MeshConfig string
	// Report hears what is wrong with files and objects; nil: nobody does.
	Report Report
	// Log takes what concerns the machine and not the objects; nil: slog's default.
	Log *slog.Logger
}

// Directory is the source that reads a directory of YAML files.
type Directory struct {
	config  DirConfig
	parser  *parser
	claims  *claims
	files   map[string]*file            // by the path below the directory
	listing *listing                    // as of the last look
	closed  map[string]error            // folders that cannot be read
	reports map[string][]object.Finding // as reported last
	waiting map[string]int              // files that are being written, and how often they were looked at
	watcher *fsnotify.Watcher           // nil: the system has none to give
	watched map[string]struct{}

	meshConfig *meshConfigFile
	sink       Sink
}

// NewDirectory makes the source; it reads nothing before Run.
func NewDirectory(config DirConfig) *Directory {
	if config.Report == nil {
		config.Report = func(string, []object.Finding) {}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	return &Directory{config: config, parser: newParser(), claims: newClaims(), files: map[string]*file{}, listing: &listing{},
		reports: map[string][]object.Finding{}, waiting: map[string]int{}, watched: map[string]struct{}{}}
}

const (
	// lookEvery is how often the directory is looked at without a hint from the
	// system: some file systems give none.
	lookEvery = 15 * time.Second
	// lookOften is the same where the system has no more watches to give.
	lookOften = time.Second
	// writingPause and writingPatience bound the wait for a file that somebody
	// has open for writing: so long between two looks, and so many looks.
	writingPause    = 2 * time.Millisecond
	writingPatience = 1000
)

// Run reads the directory, calls synced once all of it has been handed to the
// sink, and then follows its changes until the context ends. The error says
// that the directory cannot be read at all at the start; later, what was read
// stays in force instead.
func (d *Directory) Run(ctx context.Context, sink Sink, synced func()) error {
	d.sink = sink
	w, err := fsnotify.NewBufferedWatcher(1024)
	if err != nil {
		d.config.Log.Warn("changes of files are seen late: the system gives no watch; raise fs.inotify.max_user_instances", "err", err)
	} else {
		d.watcher = w
		defer w.Close()
	}
	mc, err := newMeshConfigFile(d.config.MeshConfig, d.config.Report)
	if err != nil {
		return err
	}
	d.meshConfig = mc
	d.sinkNonEmpty(mc.look(true))
	if err := d.scan(); err != nil {
		return fmt.Errorf("reading the directory of --config: %w: name a directory that exists and can be read", err)
	}
	for len(d.waiting) > 0 && ctx.Err() == nil {
		time.Sleep(writingPause)
		d.retry()
	}
	synced()
	d.follow(ctx)
	return nil
}

// rescan is scan for a directory that was there before.
func (d *Directory) rescan() {
	const what = "directory"
	if err := d.scan(); err != nil {
		d.report(what, []object.Finding{unreadableFinding(d.config.Path, err)})
		return
	}
	d.report(what, nil)
}

// scanPatience bounds how often a look at the directory begins anew because
// something was swapped while it was under way.
const scanPatience = 20

// scan looks at the whole directory and takes in the files that differ. A look
// during which files went, or links came to point elsewhere, is no state that
// the directory ever was in: it is done again.
func (d *Directory) scan() error {
	for left := scanPatience; ; left-- {
		l, err := list(d.config.Path)
		if err != nil {
			return err
		}
		d.listing = l
		d.watch()
		names := slices.Collect(maps.Keys(l.files))
		for name := range d.files {
			if _, ok := l.files[name]; !ok && !l.keeps(name) {
				names = append(names, name)
			}
		}
		next, whole := d.read(names, d.differs)
		if left > 0 && (!whole || l.linked && !l.still()) {
			continue
		}
		d.unreadable(l)
		d.take(names, next)
		return nil
	}
}

// differs tells, without reading it, whether a file may be another one now.
func (d *Directory) differs(name string) bool {
	f := d.files[name]
	if f == nil {
		return true
	}
	info, err := os.Stat(d.listing.files[name])
	return err != nil || !f.stamp.same(stamp{info.Size(), info.ModTime(), info})
}

// unreadable reports the folders that cannot be read, and no longer those that
// can or that are gone.
func (d *Directory) unreadable(l *listing) {
	for folder, err := range l.unreadable {
		d.report(folder, []object.Finding{unreadableFinding(folder, err)})
	}
	for folder := range d.closed {
		if l.unreadable[folder] == nil {
			d.report(folder, nil)
		}
	}
	d.closed = l.unreadable
}

// reread reads files that the system says have changed.
func (d *Directory) reread(names []string) {
	if len(names) == 0 {
		return
	}
	next, whole := d.read(names, func(string) bool { return true })
	if !whole {
		d.rescan()
		return
	}
	d.take(names, next)
}

// retry looks again at the files that are being written.
func (d *Directory) retry() { d.reread(slices.Collect(maps.Keys(d.waiting))) }

// read reads those of the files that differ. Files that are gone are nil in the
// result, those that somebody is writing are not in it. It is not whole when a
// file that was listed is gone.
func (d *Directory) read(names []string, differs func(string) bool) (next map[string]*file, whole bool) {
	next = map[string]*file{}
	for _, name := range names {
		real := d.listing.files[name]
		if real == "" {
			next[name] = nil
			continue
		}
		if !differs(name) {
			continue
		}
		old := d.files[name]
		if old == nil {
			old = &file{path: name}
		}
		text, s, err := readFile(real, d.waiting[name] < writingPatience)
		if errors.Is(err, errBeingWritten) {
			d.waiting[name]++
			continue
		}
		delete(d.waiting, name)
		if err == nil {
			next[name] = old.update(d.parser, text, s)
			continue
		}
		if _, lerr := os.Lstat(real); errors.Is(lerr, os.ErrNotExist) {
			return nil, false
		}
		kept := *old
		kept.stamp, kept.findings = stamp{}, []object.Finding{unreadableFinding(name, err)}
		next[name] = &kept
	}
	return next, true
}

// take puts new versions of files in place and hands on what that changes.
func (d *Directory) take(names []string, next map[string]*file) {
	touched := map[object.Ref]struct{}{}
	for name, f := range next {
		d.claims.replace(d.files[name], f, touched)
		if f == nil {
			delete(d.files, name)
			delete(d.waiting, name)
		} else {
			d.files[name] = f
		}
	}
	d.sinkNonEmpty(d.claims.settle(touched, time.Now()))
	d.findings(names, touched)
}

func (d *Directory) sinkNonEmpty(changes []mesh.Change) {
	if len(changes) > 0 {
		d.sink(changes)
	}
}
