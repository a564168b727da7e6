package envoyfetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// Version is the Envoy that Fairway is developed on.
const Version = "1.40.0"

// Oldest is the oldest Envoy that is supported in full.
const Oldest = "1.38.2"

// ErrNotFound says that this machine has no such Envoy yet.
var ErrNotFound = errors.New("not found")

// Find looks for Envoy in $ENVOY, in PATH and in the project's cache. In the first
// two any release will do when version is Version; otherwise it has to be that
// one. $ENVOY, when set, must be usable. Without any the error is ErrNotFound.
func Find(version string) (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		found, err := release(path)
		if err != nil {
			return "", fmt.Errorf("$ENVOY: %w", err)
		}
		if version == Version || found == version {
			return path, nil
		}
	} else if path, err := exec.LookPath("envoy"); err == nil {
		if found, err := release(path); err == nil && (version == Version || found == version) {
			return path, nil
		}
	}
	path, err := cached(version)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	return "", fmt.Errorf("Envoy %s: %w: set $ENVOY to the binary, install it in PATH, or let make demo fetch it", version, ErrNotFound)
}

// cached is where the project keeps an Envoy that it fetched.
func cached(version string) (string, error) {
	dir, err := os.UserCacheDir() // honours $XDG_CACHE_HOME
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return filepath.Join(dir, "fairway", "envoy-"+version, "envoy"), nil
}

var releaseText = regexp.MustCompile(`/(\d+\.\d+\.\d+)`)

// release asks a binary for its version: "envoy  version: COMMIT/1.40.0/Clean/...".
func release(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	found := releaseText.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s does not say that it is an Envoy: %q", path, text)
	}
	return string(found[1]), nil
}
