package cluster

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const groupMount = "/sys/fs/cgroup"

// controllers are those of version 1 that the kubelet asks for, and the tree
// without any beside them.
var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "unified"}

// unified says whether the machine has version 2 of control groups.
func unified() bool {
	_, err := os.Stat(filepath.Join(groupMount, "cgroup.controllers"))
	return err == nil
}

// groupRoots are the directories in which a node's group has to be.
func groupRoots() []string {
	if unified() {
		return []string{groupMount}
	}
	var out []string
	for _, c := range controllers {
		root := filepath.Join(groupMount, c)
		if _, err := os.Stat(root); err == nil {
			out = append(out, root)
		}
	}
	return out
}

// makeGroups makes a node's control group in every controller.
func makeGroups(name string) error {
	for _, root := range groupRoots() {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	if unified() {
		return delegate(name)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // a new group has none, and then no process fits
		b, err := os.ReadFile(filepath.Join(groupMount, "cpuset", file))
		if err != nil {
			continue // no cpuset here
		}
		if err := os.WriteFile(filepath.Join(groupMount, "cpuset", name, file), b, 0o644); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	return nil
}

// delegate gives a group of version 2 the controllers of its parent.
func delegate(name string) error {
	b, err := os.ReadFile(filepath.Join(groupMount, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, dir := range []string{groupMount, filepath.Join(groupMount, name)} {
		for _, c := range strings.Fields(string(b)) {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644) // the kubelet says which it misses
		}
	}
	return nil
}

// removeGroups removes a node's control groups, the innermost first.
func removeGroups(name string) {
	for _, root := range groupRoots() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			os.Remove(d)
		}
	}
}
