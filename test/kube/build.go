package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Programs are the parts of Kubernetes that Build makes, beside etcd. They are
// links to one program that looks at the name by which it is called.
var Programs = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"}

// version is what the programs say they are; it is the one in tools/go.mod.
const version = "v1.36.1"

// Build makes etcd and the Programs unless the cache has them, and returns the
// directory in which they are: $XDG_CACHE_HOME/fairway/kubernetes-HASH. The
// first time takes some minutes; progress gets a line when that happens. It may
// run in several processes at once.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	tools, err := toolsModule(ctx)
	if err != nil {
		return "", err
	}
	sum, err := hashModule(tools)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the programs of Kubernetes: %w: set XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "fairway", "kubernetes-"+sum)
	if built(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a place for the programs of Kubernetes: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("locking the build of Kubernetes: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking the build of Kubernetes: %w", err)
	}
	if built(dir) {
		return dir, nil
	}
	fmt.Fprintf(progress, "building Kubernetes %s into %s, once; this takes some minutes\n", version, dir)
	number := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const in = " -X k8s.io/component-base/version."
	flags := "-s -w" + in + "gitVersion=" + version + in + "gitMajor=" + number[0] + in + "gitMinor=" + number[1]
	for _, name := range []string{"etcd", "kubernetes"} {
		if err := build(ctx, tools, name, dir, flags); err != nil {
			return "", err
		}
	}
	for _, name := range Programs {
		if err := os.Symlink("kubernetes", filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("naming a program of Kubernetes: %w", err)
		}
	}
	return dir, nil
}

// build makes one program under another name first, so that what has its name
// is whole.
func build(ctx context.Context, tools, name, dir, flags string) error {
	at := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath=false", "-buildvcs=false", "-ldflags", flags, "-o", at+".part", "./"+name)
	cmd.Dir, cmd.Env = tools, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: the Go module proxy and a C compiler are needed:\n%s", name, err, out)
	}
	if err := os.Rename(at+".part", at); err != nil {
		return fmt.Errorf("building %s: %w", name, err)
	}
	return nil
}

func built(dir string) bool {
	for _, name := range append([]string{"etcd"}, Programs...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// toolsModule is the folder of the module that names what is built.
func toolsModule(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w: run it inside the tree, with go in PATH", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "test", "kube", "tools")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("finding the source tree: %w: run it inside the tree", err)
	}
	return dir, nil
}

// hashModule is a name for what would be built here.
func hashModule(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", "etcd/main.go", "kubernetes/main.go"} {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return "", fmt.Errorf("reading what is to be built: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}
