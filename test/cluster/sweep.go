package cluster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sweep removes all that an instance made, whether it still runs or was killed.
// It may be called again.
func (i *instance) sweep() error {
	if _, err := os.Stat(i.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := i.endProcesses(); err != nil {
		return err
	}
	i.removeSockets()
	if err := unmountBelow(i.dir); err != nil {
		return err
	}
	for node := range maxNodes {
		if err := deleteNamespace(i.name(node)); err != nil {
			return err
		}
		removeGroups(i.name(node))
		removeLink(i.name(node))
	}
	removeLink(i.bridge())
	i.removeResults()
	return i.removeFiles()
}

// removeFiles removes the directory. A mount program of a kubelet may outlive
// it and mount once more after all has been unmounted.
func (i *instance) removeFiles() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := unmountBelow(i.dir); err != nil {
			return err
		}
		err := os.RemoveAll(i.dir)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) || time.Now().After(deadline) {
			return fmt.Errorf("removing the files of a cluster: %w", err)
		}
	}
}

func removeLink(name string) {
	if l, err := netlink.LinkByName(name); err == nil {
		_ = netlink.LinkDel(l)
	}
}

// endProcesses kills the programs in the order in which nobody starts new ones,
// then everything in the nodes' control groups, and waits until all are gone.
func (i *instance) endProcesses() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := i.processes()
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of a cluster do not end", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processes are those that the instance started and that containerd started for
// it: known by a file of their pid and by their command line, as shims of its
// socket, or by their control group.
func (i *instance) processes() []int {
	var out []int
	files, _ := filepath.Glob(i.file("*.pid"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if pid, err := strconv.Atoi(string(b)); err == nil && strings.Contains(commandLine(pid), i.dir+"/") {
			out = append(out, pid)
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		pid, _ := strconv.Atoi(filepath.Base(p))
		line := commandLine(pid)
		if program, _, _ := strings.Cut(line, " "); filepath.Base(program) == "containerd-shim-runc-v2" && strings.Contains(line, " "+i.dir+"/") {
			out = append(out, pid)
		}
	}
	for node := range maxNodes {
		for _, root := range groupRoots() {
			_ = filepath.WalkDir(filepath.Join(root, i.name(node)), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Name() == "cgroup.procs" {
					out = append(out, readPids(path)...)
				}
				return nil
			})
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// commandLine is the command of a process; "" when it is gone or dead.
func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

func readPids(path string) []int {
	b, _ := os.ReadFile(path)
	var out []int
	for _, line := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
			out = append(out, pid)
		}
	}
	return out
}

// removeSockets removes those of shims, which are in a directory for all of the
// machine and are named in the state of each container.
func (i *instance) removeSockets() {
	files, _ := filepath.Glob(filepath.Join(i.dir, "*", "ctd-state", "io.containerd.runtime.v2.task", "*", "*", "bootstrap.json"))
	for _, f := range files {
		var shim struct{ Address string }
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &shim) == nil {
			if path, ok := strings.CutPrefix(shim.Address, "unix:///run/containerd/s/"); ok {
				os.Remove("/run/containerd/s/" + filepath.Base(path))
			}
		}
	}
}

// results is where containerd notes what its plugins did, for all of the machine.
const results = "/var/lib/cni/results"

// removeResults removes the notes of the pods that were not removed one by one.
// Those of their loopback devices do not name the cluster, but the pod.
func (i *instance) removeResults() {
	notes, _ := filepath.Glob(filepath.Join(results, i.bridge()+"-*-eth0"))
	for _, n := range notes {
		pod := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(n), i.bridge()+"-"), "-eth0")
		os.Remove(filepath.Join(results, "cni-loopback-"+pod+"-lo"))
		os.Remove(n)
	}
}

// unmountBelow unmounts what is mounted in a directory, the innermost first.
func unmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	var points []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, strings.ReplaceAll(fields[4], `\040`, " "))
		}
	}
	slices.Reverse(points)
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmounting %s: %w", p, err)
		}
	}
	return nil
}
