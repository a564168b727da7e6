package reserve

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGroupLimit(t *testing.T) {
	for name, c := range map[string]struct {
		group string
		files map[string]string
		want  int64
	}{
		"version 2":              {"0::/kubepods/pod1/c\n", map[string]string{"kubepods/pod1/c/memory.max": "268435456\n", "memory.max": "max\n"}, 256 << 20},
		"that of the pod":        {"0::/kubepods/pod1/c\n", map[string]string{"kubepods/pod1/c/memory.max": "max\n", "kubepods/pod1/memory.max": "1024\n"}, 1024},
		"the container's root":   {"0::/\n", map[string]string{"memory.max": "4096\n"}, 4096},
		"version 1":              {"9:cpu,memory:/a\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "2048\n"}, 2048},
		"version 1, none":        {"9:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"of a group not to see":  {"9:memory:/docker/x\n", map[string]string{"memory/memory.limit_in_bytes": "512\n"}, 512},
		"none":                   {"0::/x\n", map[string]string{"x/memory.max": "max\n"}, 0},
		"what cannot be a group": {"nonsense\n", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, filepath.Join(root, "group"), c.group)
			for file, text := range c.files {
				write(t, filepath.Join(root, "fs", file), text)
			}
			if got := groupLimit(filepath.Join(root, "group"), filepath.Join(root, "fs")); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// TestMemoryNearItsLimit: it is told once that memory runs short, and once that it
// no longer does.
func TestMemoryNearItsLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	var out bytes.Buffer
	registry := prometheus.NewRegistry()
	m := memoryWithin(1000<<20, slog.New(slog.NewTextHandler(&out, nil)), registry, func() {})
	if got := debug.SetMemoryLimit(-1); got != m.limit || got != 900<<20 {
		t.Errorf("Go keeps to %d bytes, the watch to %d", got, m.limit)
	}
	for i, c := range []struct {
		alive int64
		near  bool
		lines int
	}{{100, false, 0}, {719, false, 0}, {721, true, 1}, {890, true, 1}, {650, true, 1}, {600, false, 2}, {800, true, 3}} {
		if near := m.look(c.alive << 20); near != c.near || strings.Count(out.String(), "\n") != c.lines {
			t.Errorf("%d: with %d MB near is %t, and it was said:\n%s", i, c.alive, near, out.String())
		}
	}
	if all, err := registry.Gather(); err != nil || len(all) != 4 {
		t.Errorf("%d metrics, %v", len(all), err)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if m := memoryWithin(0, nil, nil, nil); m.limit != 0 {
		t.Errorf("without a limit it keeps to %d", m.limit)
	}
}
