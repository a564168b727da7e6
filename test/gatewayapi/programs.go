package gatewayapi

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fairway-mesh/fairway/test/cluster"
)

// The names by which the suite's manifests know the images of its applications.
const (
	basicImage = "registry.k8s.io/gateway-api/echo-basic:"
	meshImage  = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1"
	namesImage = "registry.k8s.io/coredns/coredns:v1.12.2"
)

// basicTags are the versions of the backend that manifests ask for; all of them
// get that of the suite.
var basicTags = []string{"v1.5.1", "v1.6.0-dev.2", "v1.6.0-dev.3"}

// programs are what runs the suite and what the suite runs.
type programs struct {
	dir string
	api string // the source of the module sigs.k8s.io/gateway-api
}

// buildPrograms makes them in the cache: the suite's test program and its backend
// of the module in tools/, which has their dependencies for itself, and the
// application of the mesh tests of this one.
func buildPrograms(ctx context.Context, progress io.Writer) (programs, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return programs{}, fmt.Errorf("finding a place for the conformance suite: %w: set XDG_CACHE_HOME", err)
	}
	p := programs{dir: filepath.Join(cache, "fairway", "gatewayapi")}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return programs{}, err
	}
	root, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", "github.com/fairway-mesh/fairway")
	if err != nil {
		return programs{}, fmt.Errorf("finding the source tree: %w: run it inside the tree", err)
	}
	tools := filepath.Join(root, "test", "gatewayapi", "tools")
	fmt.Fprintln(progress, "building the conformance suite of the Gateway API")
	for _, build := range []struct{ dir, out, arguments string }{
		{tools, "conformance", "test -c sigs.k8s.io/gateway-api/conformance"},
		{tools, "echo-basic", "build sigs.k8s.io/gateway-api/conformance/echo-basic"},
		{root, "echo", "build ./test/gatewayapi/echo"},
		{root, "pause", "build ./test/cluster/pause"},
	} {
		verb, rest, _ := strings.Cut(build.arguments, " ")
		arguments := append([]string{verb, "-o", filepath.Join(p.dir, build.out)}, strings.Fields(rest)...)
		if _, err := goCommand(ctx, build.dir, arguments...); err != nil {
			return programs{}, fmt.Errorf("building %s: %w", build.out, err)
		}
	}
	p.api, err = goCommand(ctx, tools, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	return p, err
}

// goCommand runs go and returns what it prints.
func goCommand(ctx context.Context, dir string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(arguments, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

func (p programs) images() ([]cluster.Image, error) {
	certificate, key, err := p.certificate()
	if err != nil {
		return nil, err
	}
	echo := p.path("echo")
	var names []string
	for _, tag := range basicTags {
		names = append(names, basicImage+tag)
	}
	return []cluster.Image{
		{Name: names[0], Aliases: names[1:], Entrypoint: []string{"/echo-basic"}, User: "65532", Files: map[string]string{"/echo-basic": p.path("echo-basic")}},
		{Name: meshImage, Entrypoint: []string{"/usr/local/bin/server"}, User: "65532", Files: map[string]string{
			"/usr/local/bin/server": echo, "/usr/local/bin/client": echo, "/cert.crt": certificate, "/cert.key": key,
		}},
		{Name: namesImage, Entrypoint: []string{"/pause"}, User: "65532", Files: map[string]string{"/pause": p.path("pause")}},
	}, nil
}
