package chart

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const (
	helmModule  = "helm.sh/helm/v3"
	helmVersion = "v3.22.0"
)

// Helm is the path of the program: $HELM, what PATH has, or what go install
// makes of its module, once, in the user's cache; progress gets a line then.
func Helm(ctx context.Context, progress io.Writer) (string, error) {
	if program := os.Getenv("HELM"); program != "" {
		return program, nil
	}
	if program, err := exec.LookPath("helm"); err == nil {
		return program, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for Helm: %w: set XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "fairway", "helm-"+helmVersion+"-"+runtime.Version())
	program := filepath.Join(dir, "helm")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintf(progress, "building Helm %s into %s, once; this takes a minute\n", helmVersion, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a place for Helm: %w", err)
	}
	// Into a place of its own first, so that what has its name is whole.
	part, err := os.MkdirTemp(dir, "part-")
	if err != nil {
		return "", fmt.Errorf("making a place for Helm: %w", err)
	}
	defer os.RemoveAll(part) //nolint:errcheck // a temporary directory
	cmd := exec.CommandContext(ctx, "go", "install", helmModule+"/cmd/helm@"+helmVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+part, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building Helm: %w: install it, or set HELM:\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(part, "helm"), program); err != nil {
		return "", fmt.Errorf("building Helm: %w", err)
	}
	return program, nil
}
