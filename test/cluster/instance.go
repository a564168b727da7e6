package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	maxNodes     = 2
	maxInstances = 16
)

// instance is one cluster of this machine. All names and addresses of what it
// makes come from its number, so that it can be removed by whoever comes next.
type instance struct {
	number int
	dir    string   // all files
	lock   *os.File // held by the process that it belongs to
}

// errUsed says that an instance belongs to a process that lives, or is kept.
var errUsed = errors.New("in use")

func instancesDir() string { return filepath.Join(os.TempDir(), "fairway-cluster") }

// claim takes a free number, after removing what killed runs left.
func claim() (*instance, error) {
	if err := os.MkdirAll(instancesDir(), 0o755); err != nil {
		return nil, err
	}
	var free *instance
	for n := range maxInstances {
		if _, err := os.Stat(filepath.Join(instancesDir(), strconv.Itoa(n))); free != nil && err != nil {
			continue // nothing to remove there
		}
		i, err := open(n)
		if errors.Is(err, errUsed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if i.kept() {
			i.lock.Close()
			continue
		}
		if err := i.sweep(); err != nil {
			i.lock.Close()
			return nil, fmt.Errorf("removing what a killed run left in %s: %w", i.dir, err)
		}
		if free == nil {
			free = i
			continue
		}
		i.lock.Close()
	}
	if free == nil {
		return nil, fmt.Errorf("%d clusters are running already: remove one (make cluster-down)", maxInstances)
	}
	if err := os.MkdirAll(free.dir, 0o755); err != nil {
		return nil, err
	}
	return free, nil
}

// open takes the lock of an instance; errUsed when somebody holds it.
func open(number int) (*instance, error) {
	i := &instance{number: number, dir: filepath.Join(instancesDir(), strconv.Itoa(number))}
	f, err := os.OpenFile(i.dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errUsed
		}
		return nil, fmt.Errorf("locking %s: %w", i.dir, err)
	}
	i.lock = f
	return i, nil
}

func (i *instance) keepFile() string { return filepath.Join(i.dir, "kept") }

func (i *instance) kept() bool {
	_, err := os.Stat(i.keepFile())
	return err == nil
}

// RemoveKept removes the clusters that were started with Options.Keep, and
// returns how many there were.
func RemoveKept() (int, error) {
	count := 0
	for n := range maxInstances {
		if _, err := os.Stat(filepath.Join(instancesDir(), strconv.Itoa(n), "kept")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		i, err := open(n)
		if errors.Is(err, errUsed) {
			continue // it is being started or removed
		}
		if err != nil {
			return count, err
		}
		err = i.sweep()
		i.lock.Close()
		if err != nil {
			return count, err
		}
		count++
	}
	return count, nil
}

// The names and addresses of an instance. Services have the same in all: they
// are known inside the namespaces only.
const (
	serviceNetwork = "10.96.0.0/16"
	apiService     = "10.96.0.1"
	dnsService     = "10.96.0.10"
)

func (i *instance) bridge() string          { return fmt.Sprintf("fwc%d", i.number) }
func (i *instance) hostAddress() string     { return fmt.Sprintf("10.201.%d.254", i.number) }
func (i *instance) name(node int) string    { return fmt.Sprintf("fwc%d-%d", i.number, node+1) }
func (i *instance) address(node int) string { return fmt.Sprintf("10.201.%d.%d", i.number, node+1) }
func (i *instance) pods(node int) string {
	return fmt.Sprintf("10.202.%d.0/24", i.number*maxNodes+node)
}
func (i *instance) nodeName(node int) string { return fmt.Sprintf("node%d", node+1) }
func (i *instance) nodeDir(node int) string  { return filepath.Join(i.dir, i.nodeName(node)) }
func (i *instance) socket(node int) string   { return filepath.Join(i.nodeDir(node), "containerd.sock") }
func (i *instance) file(name string) string  { return filepath.Join(i.dir, name) }
func (i *instance) kubeconfig() string       { return i.file("kubeconfig") }
