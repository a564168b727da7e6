package identity

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// directoryFile is the file within a Directory. One file, so that certificate
// and key are replaced together.
const directoryFile = "fairway-ca.json"

// maxStored bounds what is read back: some hundred certificates.
const maxStored = 1 << 20

// Directory is a Storage in a file, readable by its owner only, in a directory
// that exists. Creation is exclusive between processes; later writes are meant
// for one process at a time.
type Directory struct {
	Path string
	mu   sync.Mutex
}

func (d *Directory) file() string { return filepath.Join(d.Path, directoryFile) }

// Load implements Storage.
func (d *Directory) Load(context.Context) (map[string][]byte, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load()
}

func (d *Directory) load() (map[string][]byte, string, error) {
	info, err := os.Stat(d.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking for the authority's file: %w", err)
	}
	if info.Size() > maxStored {
		return nil, "", fmt.Errorf("%s is larger than %d bytes: it is not what was written there", d, maxStored)
	}
	text, err := os.ReadFile(d.file())
	if err != nil {
		return nil, "", fmt.Errorf("reading the authority's file: %w", err)
	}
	var entries map[string][]byte
	version := fmt.Sprintf("%x", sha256.Sum256(text))
	if json.Unmarshal(text, &entries) != nil {
		// The cause is left out: it may quote the text.
		return nil, version, fmt.Errorf("%s is not JSON as it was written there: restore it, or remove it to start with a new root: %w", d, ErrDamaged)
	}
	return entries, version, nil
}

// Save implements Storage.
func (d *Directory) Save(_ context.Context, entries map[string][]byte, version string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, now, err := d.load()
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if now != version {
		return ErrConflict
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return errors.New("encoding the authority's file failed")
	}
	temp, err := writeTemp(d.Path, text)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // gone already after a rename
	if version != "" {
		if err := os.Rename(temp, d.file()); err != nil {
			return fmt.Errorf("replacing the authority's file: %w", err)
		}
		return nil
	}
	// A link, unlike a rename, fails when another process was first.
	err = os.Link(temp, d.file())
	if errors.Is(err, fs.ErrExist) {
		return ErrConflict
	}
	if err != nil {
		return fmt.Errorf("creating the authority's file: %w", err)
	}
	return nil
}

func writeTemp(dir string, text []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".fairway-ca-*") // with mode 0600
	if err != nil {
		return "", fmt.Errorf("writing the authority's file: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("writing the authority's file: %w", err)
	}
	return f.Name(), nil
}

// String implements Storage.
func (d *Directory) String() string { return d.file() }
