package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// name is that of the chart, and of the folder in a package.
const name = "fairway"

// definitions is where the chart and the module keep the Istio API.
const (
	definitions       = "crds/istio.yaml"
	moduleDefinitions = "kubernetes/customresourcedefinitions.gen.yaml"
)

// Directory writes the chart into dir, which it makes: helm takes such a folder
// in place of a package. version is what git says ("v1.2.3", "v1.2.3-4-gabc",
// "abc"); it becomes the tag of the image too.
func Directory(ctx context.Context, dir, version string) error {
	return write(ctx, version, func(file string, content []byte) error {
		at := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return os.WriteFile(at, content, 0o644)
	})
}

// Package writes the chart as fairway-VERSION.tgz into dir, which it makes, and
// returns the file. The same tree gives the same bytes.
func Package(ctx context.Context, dir, version string) (string, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	err := write(ctx, version, func(file string, content []byte) error {
		h := &tar.Header{Name: path.Join(name, file), Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := archive.Write(content)
		return err
	})
	if err := errors.Join(err, archive.Close(), zip.Close()); err != nil {
		return "", fmt.Errorf("packing the chart: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("packing the chart: %w", err)
	}
	file := filepath.Join(dir, name+"-"+Version(version)+".tgz")
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("packing the chart: %w", err)
	}
	return file, nil
}

// released is what git says of a commit that has a version, or comes after one.
var released = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)(-.*)?$`)

// Version is the semantic version that Helm wants, of what git says.
func Version(git string) string {
	if m := released.FindStringSubmatch(git); m != nil {
		return m[1] + m[2]
	}
	return "0.0.0-" + regexp.MustCompile(`[^0-9A-Za-z-]+`).ReplaceAllString(git, "-")
}

// write hands each file of the chart to put, in the same order always.
func write(ctx context.Context, version string, put func(file string, content []byte) error) error {
	root, err := sourceTree(ctx)
	if err != nil {
		return err
	}
	tree := os.DirFS(filepath.Join(root, "charts", name))
	err = fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		switch file {
		case "Chart.yaml":
			content = regexp.MustCompile(`(?m)^version: .*$`).ReplaceAll(content, []byte("version: "+Version(version)))
			content = regexp.MustCompile(`(?m)^appVersion: .*$`).ReplaceAll(content, []byte(`appVersion: "`+version+`"`))
		case "crds/README.md":
			return nil // says that they are missing
		}
		return put(file, content)
	})
	if err != nil {
		return fmt.Errorf("copying the chart: %w", err)
	}
	module, err := istioModule(ctx, root)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(module, filepath.FromSlash(moduleDefinitions)))
	if err != nil {
		return fmt.Errorf("reading the definitions of the Istio API: %w", err)
	}
	if err := put(definitions, content); err != nil {
		return fmt.Errorf("copying the definitions of the Istio API: %w", err)
	}
	return nil
}

func sourceTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if err == nil {
		_, err = os.Stat(filepath.Join(root, "charts", name))
	}
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w: run it inside the tree, with go in PATH", err)
	}
	return root, nil
}

// istioModule downloads the module istio.io/api unless it is there.
func istioModule(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "istio.io/api")
	cmd.Dir = root
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Dir == "" {
		return "", fmt.Errorf("downloading the module istio.io/api: %w: %s", errors.Join(err, jsonErr), module.Error)
	}
	return module.Dir, nil
}
