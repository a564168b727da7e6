//go:build linux

package local

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// state is the directory of one mesh: its objects, logs and volumes, and a
// record of its processes. A lock on it tells whether its owner lives.
type state struct {
	dir  string
	lock *os.File

	mu      sync.Mutex
	pids    *os.File
	written map[Key]string // what the control plane's directory holds
}

// stateRoot holds the states of all meshes of this user.
func stateRoot() string {
	return filepath.Join(os.TempDir(), "fairway-local-"+strconv.Itoa(outerUID()))
}

// newState makes a directory, after removing those whose owner is gone.
func newState() (*state, error) {
	root := stateRoot()
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("making the local mesh's directory: %w", err)
	}
	if err := removeLeftovers(root); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(root, "mesh-")
	if err != nil {
		return nil, fmt.Errorf("making the local mesh's directory: %w", err)
	}
	s := &state{dir: dir, written: map[Key]string{}}
	if s.lock, err = lock(dir); err != nil {
		return nil, err
	}
	for _, sub := range []string{s.config(), s.staging(), s.pods()} {
		if err := os.Mkdir(sub, 0o755); err != nil {
			return nil, fmt.Errorf("making the local mesh's directory: %w", err)
		}
	}
	s.pids, err = os.OpenFile(filepath.Join(dir, "pids"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the record of processes: %w", err)
	}
	return s, nil
}

func (s *state) config() string  { return filepath.Join(s.dir, "config") }
func (s *state) staging() string { return filepath.Join(s.dir, "staging") }
func (s *state) pods() string    { return filepath.Join(s.dir, "pods") }

// errOwned says that the owner of a state lives.
var errOwned = errors.New("in use")

// lock takes the lock of a state's directory; errOwned when it is taken. The
// kernel gives it back with the owner's end, however that comes.
func lock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errOwned
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return file, nil
}

// removeLeftovers ends the processes and removes the files of meshes whose owner
// was killed.
func removeLeftovers(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("looking for leftovers: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if !strings.HasPrefix(e.Name(), "mesh-") || !exists(filepath.Join(dir, "lock")) {
			continue // another start is just making it
		}
		file, err := lock(dir)
		if errors.Is(err, errOwned) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		endRecorded(filepath.Join(dir, "pids"))
		err = os.RemoveAll(dir)
		file.Close()
		if err != nil {
			return fmt.Errorf("removing what a killed local mesh left in %s: %w", dir, err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// record remembers a process by its number and its start, which together are
// never used twice.
func (s *state) record(pid int) {
	start := startOf(pid)
	if start == "" {
		return // ended already
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.pids, pid, start)
}

// endRecorded kills the groups of those recorded processes that still run.
func endRecorded(path string) {
	file, err := os.Open(path)
	if err != nil {
		return // killed before it recorded anything
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		number, start, _ := strings.Cut(lines.Text(), " ")
		pid, err := strconv.Atoi(number)
		if err == nil && pid > 1 && start != "" && startOf(pid) == start {
			_ = unix.Kill(-pid, unix.SIGKILL)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// startOf is when a process began, in clock ticks since boot (proc(5), field 22
// of stat). Empty: there is no such process.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the program's name in parentheses and may hold anything.
	rest := string(text)[strings.LastIndexByte(string(text), ')')+1:]
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// fileName is the name of an object's file in the control plane's directory.
func fileName(k Key) string {
	name := strings.ToLower(k.Kind)
	for _, part := range []string{k.Group, k.Namespace, k.Name} {
		if part != "" {
			name += "_" + part
		}
	}
	return name + ".yaml"
}

// write puts the object into the control plane's directory, at once and whole.
func (s *state) write(u *unstructured.Unstructured) error {
	key := keyOf(u)
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written[key] == string(text) {
		return nil
	}
	staged := filepath.Join(s.staging(), fileName(key))
	if err := os.WriteFile(staged, text, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	if err := os.Rename(staged, filepath.Join(s.config(), fileName(key))); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	s.written[key] = string(text)
	return nil
}

// remove takes the object out of the control plane's directory.
func (s *state) remove(key Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.written[key]; !there {
		return nil
	}
	delete(s.written, key)
	if err := os.Remove(filepath.Join(s.config(), fileName(key))); err != nil {
		return fmt.Errorf("removing %s: %w", key, err)
	}
	return nil
}

// close removes everything. keepLogs leaves the directory for someone to read.
func (s *state) close(keep bool) error {
	s.pids.Close()
	var err error
	if !keep {
		err = os.RemoveAll(s.dir)
	}
	s.lock.Close()
	return err
}
