package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-mesh/fairway/test/kube"
)

// module is a Go module in tools/ whose tool lines name programs, with all that
// they need in versions of its own.
type module struct {
	tags     string
	cgo      bool
	packages []string
}

// modules are what a cluster is built of, beside Kubernetes itself and etcd.
var modules = map[string]module{
	"containerd": {tags: "no_btrfs,no_zfs,no_devmapper", cgo: true, packages: []string{
		"github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/ctr",
	}},
	"runc": {tags: "seccomp", cgo: true, packages: []string{"github.com/opencontainers/runc"}},
	"cni": {packages: []string{
		"github.com/containernetworking/plugins/plugins/main/bridge", "github.com/containernetworking/plugins/plugins/main/loopback",
		"github.com/containernetworking/plugins/plugins/ipam/host-local", "github.com/containernetworking/plugins/plugins/meta/portmap",
	}},
	"coredns": {packages: []string{"github.com/coredns/coredns"}},
	"kind":    {packages: []string{"sigs.k8s.io/kind"}},
}

// environment names a directory of the modules' programs, for who has them.
const environment = "FAIRWAY_CLUSTER_TOOLS"

// toolset knows where the programs are.
type toolset struct {
	source   string            // the folder tools/
	places   map[string]string // program to directory
	progress io.Writer
}

// newToolset builds Kubernetes and the modules, or finds them in the cache or, the
// modules, in the directory that the environment names.
func newToolset(ctx context.Context, progress io.Writer, names ...string) (toolset, error) {
	t := toolset{places: map[string]string{}, progress: progress}
	root, err := sourceTree(ctx)
	if err != nil {
		return t, err
	}
	t.source = filepath.Join(root, "test", "cluster", "tools")
	dir, err := kube.Build(ctx, progress)
	if err != nil {
		return t, err
	}
	for _, p := range append([]string{"etcd"}, kube.Programs...) {
		t.places[p] = dir
	}
	for _, n := range names {
		if err := t.need(ctx, n); err != nil {
			return t, err
		}
	}
	return t, nil
}

// path is where a program is.
func (t toolset) path(program string) string {
	dir, built := t.places[program]
	if !built {
		dir = os.Getenv(environment)
	}
	return filepath.Join(dir, program)
}

// need builds a module unless the cache has it.
func (t toolset) need(ctx context.Context, name string) error {
	if os.Getenv(environment) != "" {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("finding a place for the programs of a cluster: %w: set XDG_CACHE_HOME", err)
	}
	m := modules[name]
	sum, err := m.hash(filepath.Join(t.source, name))
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "fairway", name+"-"+sum)
	if err := m.build(ctx, filepath.Join(t.source, name), dir, t.progress); err != nil {
		return fmt.Errorf("building %s: %w", name, err)
	}
	for _, p := range m.packages {
		t.places[filepath.Base(p)] = dir
	}
	return nil
}

// build makes the programs in another directory first, so that what has its
// name is whole.
func (m module) build(ctx context.Context, source, dir string, progress io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	fmt.Fprintf(progress, "building %s into %s, once\n", filepath.Base(source), dir)
	part := dir + ".part"
	arguments := append([]string{"build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-tags", m.tags, "-o", part + "/"}, m.packages...)
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir, cmd.Env = source, append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED="+map[bool]string{true: "1", false: "0"}[m.cgo])
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: the Go module proxy and, for containerd and runc, a C compiler and libseccomp-dev are needed:\n%s", err, out)
	}
	return os.Rename(part, dir)
}

// hash is a name for what would be built here.
func (m module) hash(source string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, m)
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("reading what is to be built: %w", err)
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// sourceTree is the folder of the project.
func sourceTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/fairway-mesh/fairway").Output()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w: run it inside the tree, with go in PATH", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildCommand makes a static program of this project's main module, which says
// that it is the version.
func buildCommand(ctx context.Context, pkg, version, at string) error {
	const project = "github.com/fairway-mesh/fairway/"
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-s -w -X "+project+"internal/version.version="+version, "-o", at, project+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w:\n%s", pkg, err, out)
	}
	return nil
}
