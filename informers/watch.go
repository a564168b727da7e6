package informers

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// follow takes in changes until the context ends. All that is pending is taken
// together; nothing is waited for but the end of a file's writing.
func (d *Directory) follow(ctx context.Context) {
	every := lookEvery
	mc := d.meshConfig
	var events chan fsnotify.Event
	var failures chan error
	if d.watcher != nil {
		events, failures = d.watcher.Events, d.watcher.Errors
	} else {
		every = lookOften
	}
	look := time.NewTicker(every)
	defer look.Stop()
	for ctx.Err() == nil {
		var again <-chan time.Time
		if len(d.waiting) > 0 || mc.writing {
			again = time.After(writingPause)
		}
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			names, config, all := d.pending(e)
			if config {
				d.sinkNonEmpty(mc.look(true))
			}
			if all {
				d.rescan()
			}
			d.reread(names)
		case err := <-failures:
			d.config.Log.Warn("watching the directory: looking at all of it", "err", err)
			d.rescan()
		case <-again:
			if mc.writing {
				d.sinkNonEmpty(mc.look(true))
			}
			d.retry()
		case <-look.C:
			d.sinkNonEmpty(mc.look(false))
			d.rescan()
		}
	}
}

// pending takes all events that are there, and says which files they are about,
// and whether the mesh configuration may be another one; all means that the
// whole directory has to be looked at, since a folder, a link, a new file or
// what is gone is among them.
func (d *Directory) pending(e fsnotify.Event) (names []string, config, all bool) {
	seen := map[string]struct{}{}
	for {
		name, known := d.listing.names[e.Name]
		switch {
		case known && e.Op&(fsnotify.Remove|fsnotify.Rename) == 0:
			seen[name] = struct{}{}
		case known || e.Op != fsnotify.Chmod && d.listing.matters(e.Name):
			all = true
		}
		config = config || d.meshConfig.path != "" && filepath.Dir(e.Name) == d.meshConfig.folder()
		select {
		case e = <-d.watcher.Events:
		default:
			return slices.Sorted(maps.Keys(seen)), config, all
		}
	}
}

// watch asks the system to tell of changes in the folders that matter now, and
// no longer in others.
func (d *Directory) watch() {
	if d.watcher == nil {
		return
	}
	now := maps.Clone(d.listing.folders)
	if d.meshConfig.path != "" {
		now[d.meshConfig.folder()] = true
	}
	for f := range d.watched {
		if _, ok := now[f]; !ok {
			delete(d.watched, f)
			_ = d.watcher.Remove(f) // most are gone, and the watch with them
		}
	}
	for f := range now {
		if err := d.watcher.Add(f); err != nil { // again for each look: a folder of the same name may be another one
			d.config.Log.Debug("not watching a folder", "folder", f, "err", err)
			continue
		}
		d.watched[f] = struct{}{}
	}
}
