//go:build linux

package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// programDir holds Spec.Programs. It lies on the tmpfs that every container has at /run.
const programDir = "/run/fairway-local/bin"

// mount arranges the mounts of this process's own mount namespace.
func (s Spec) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, m := range s.Mounts {
		if top := topOf(m.Target); !exists(top) {
			if err := ownRoot(); err != nil {
				return fmt.Errorf("making %s: %w", top, err)
			}
			break
		}
	}
	// What the spec brings along may lie below /run or /tmp: hold on to it by
	// descriptor while /run is replaced.
	open := map[string]int{}
	hold := func(path string) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", path, err)
		}
		open[path] = fd
		return nil
	}
	for _, path := range s.Programs {
		if err := hold(path); err != nil {
			return err
		}
	}
	for _, m := range s.Mounts {
		if err := hold(m.Source); err != nil {
			return err
		}
	}
	// A name service daemon's socket in /run would answer for the machine instead of for the pod.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting an empty /run: %w", err)
	}
	for path, text := range s.Files {
		if err := replace(path, text); err != nil {
			return err
		}
	}
	for name, path := range s.Programs {
		if err := bind(fmt.Sprintf("/proc/self/fd/%d", open[path]), filepath.Join(programDir, name), true); err != nil {
			return err
		}
	}
	for _, m := range s.Mounts {
		if err := bind(fmt.Sprintf("/proc/self/fd/%d", open[m.Source]), m.Target, m.ReadOnly); err != nil {
			return err
		}
	}
	for _, fd := range open {
		unix.Close(fd)
	}
	return nil
}

// replace makes the text appear as the file at path.
func replace(path, text string) error {
	held := filepath.Join("/run/fairway-local/files", path)
	if err := os.MkdirAll(filepath.Dir(held), 0o755); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if err := os.WriteFile(held, []byte(text), 0o644); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		if err := shadow(filepath.Dir(path)); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("making %s: %w", path, err)
		}
	}
	return bind(held, path, false)
}

// bind makes source appear at target. Missing directories are made without
// touching the machine: where target's nearest directory belongs to it, that
// directory is shadowed first.
func bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("mounting at %s: %w", target, err)
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		if err := makeTarget(target, info.IsDir()); err != nil {
			return fmt.Errorf("mounting at %s: %w", target, err)
		}
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting at %s: %w", target, err)
	}
	if !readOnly {
		return nil
	}
	// A remount must repeat the flags that the source's mount is locked with.
	var status unix.Statfs_t
	if err := unix.Statfs(target, &status); err != nil {
		return fmt.Errorf("mounting at %s: %w", target, err)
	}
	locked := uintptr(status.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, ""); err != nil {
		return fmt.Errorf("making the mount at %s read only: %w", target, err)
	}
	return nil
}

// makeTarget makes an empty directory or file to mount over.
func makeTarget(target string, dir bool) error {
	parent := filepath.Dir(target)
	for {
		if _, err := os.Stat(parent); err == nil {
			break
		}
		parent = filepath.Dir(parent)
	}
	real, err := filepath.EvalSymlinks(parent)
	if err != nil {
		return err
	}
	if own, err := onTmpfs(real); err != nil {
		return err
	} else if !own {
		if err := shadow(real); err != nil {
			return err
		}
	}
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o644)
}

// onTmpfs says whether the directory lies on a file system that only this
// container sees: /run, or what shadow made.
func onTmpfs(path string) (bool, error) {
	if path == "/run" || strings.HasPrefix(path, "/run/") {
		return true, nil
	}
	_, err := os.Lstat(filepath.Join(path, shadowMark))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// shadowMark is a file in the directories that shadow made.
const shadowMark = ".fairway-local"

// shadow replaces a directory of the machine by one of our own in which every
// entry of it still is where it was, so that new entries can be made.
func shadow(dir string) error {
	if own, err := onTmpfs(dir); err != nil || own {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	staging, err := os.MkdirTemp("/run", "shadow")
	if err != nil {
		return fmt.Errorf("shadowing %s: %w", dir, err)
	}
	if err := unix.Mount("tmpfs", staging, "tmpfs", unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("shadowing %s: %w", dir, err)
	}
	for _, e := range entries {
		if err := reflect(filepath.Join(dir, e.Name()), filepath.Join(staging, e.Name()), e); err != nil {
			return fmt.Errorf("shadowing %s: %w", dir, err)
		}
	}
	if err := os.WriteFile(filepath.Join(staging, shadowMark), nil, 0o644); err != nil {
		return fmt.Errorf("shadowing %s: %w", dir, err)
	}
	if err := unix.Mount(staging, dir, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("shadowing %s: %w", dir, err)
	}
	return nil
}

// topOf is the first directory of a path: /data of /data/db.
func topOf(path string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	return "/" + top
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ownRoot does for the top of the file system what shadow does for others: the
// new one is built over /run and then takes the root's place.
func ownRoot() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	run, err := unix.Open("/run", unix.O_PATH|unix.O_CLOEXEC, 0) // about to be covered
	if err != nil {
		return err
	}
	defer unix.Close(run)
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, e := range entries {
		from := "/" + e.Name()
		if from == "/run" {
			from = fmt.Sprintf("/proc/self/fd/%d", run)
		}
		if err := reflect(from, filepath.Join("/run", e.Name()), e); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join("/run", shadowMark), nil, 0o644); err != nil {
		return err
	}
	// The old root goes to the same place, below the new one, and is dropped there.
	if err := os.Chdir("/run"); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

// reflect makes one entry of a shadowed directory appear in its shadow.
func reflect(from, to string, e fs.DirEntry) error {
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(link, to)
	case e.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(to, nil, 0o644); err != nil {
			return err
		}
	}
	return unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
}
