package identity

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
)

// ErrConflict is what Storage.Save returns when somebody else has written since
// the version that the caller read.
var ErrConflict = errors.New("written by somebody else in the meantime")

// Storage keeps the authority's keyring, keys included. Memory and Directory
// are for file mode; internal/identity/kube has the Secret. An implementation
// is safe for use by several goroutines.
type Storage interface {
	// Load returns the entries and a version for Save; nil entries and an empty
	// version when nothing has been stored yet. ErrDamaged, with a version, when
	// it is not what Save has written.
	Load(ctx context.Context) (entries map[string][]byte, version string, err error)
	// Save replaces the entries of the given version, or creates them if the
	// version is empty. ErrConflict when that is no longer the newest.
	Save(ctx context.Context, entries map[string][]byte, version string) error
	// String names the place in messages.
	String() string
}

// Memory is a Storage that ends with the process.
type Memory struct {
	mu      sync.Mutex
	entries map[string][]byte
	version int
}

// Load implements Storage.
func (m *Memory) Load(context.Context) (map[string][]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version == 0 {
		return nil, "", nil
	}
	return maps.Clone(m.entries), strconv.Itoa(m.version), nil
}

// Save implements Storage.
func (m *Memory) Save(_ context.Context, entries map[string][]byte, version string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version == 0 && version != "" || m.version != 0 && version != strconv.Itoa(m.version) {
		return ErrConflict
	}
	m.entries, m.version = maps.Clone(entries), m.version+1
	return nil
}

// String implements Storage.
func (*Memory) String() string { return "memory" }
