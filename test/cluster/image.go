package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Image is a container image of files of this machine.
type Image struct {
	// Name is the reference by which pods name it, with its tag.
	Name string
	// Aliases are further references.
	Aliases []string
	// Entrypoint is the command; pods add arguments.
	Entrypoint []string
	// User is the number of the user that runs it; "" is 0.
	User string
	// Files are what it holds: path in the image to path here. /tmp and
	// /etc/passwd are always there.
	Files map[string]string
}

const passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\nenvoy:x:1337:1337:envoy:/:/sbin/nologin\n"

// EnvoyImage holds an Envoy and the libraries that it needs.
func EnvoyImage(ctx context.Context, name, envoy string) (Image, error) {
	files := map[string]string{"/usr/local/bin/envoy": envoy}
	out, err := exec.CommandContext(ctx, "ldd", envoy).Output()
	if err != nil && !bytes.Contains(out, []byte("not a dynamic")) {
		return Image{}, fmt.Errorf("asking which libraries %s needs: %w", envoy, err)
	}
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
		files[library] = library
	}
	return Image{Name: name, Entrypoint: []string{"/usr/local/bin/envoy"}, User: "1337", Files: files}, nil
}

// Write makes an archive of the image that `ctr images import`, `docker load` and
// `kind load image-archive` read: one layer, its configuration and a manifest.
func (i Image) Write(at string) error {
	layer, err := os.CreateTemp(filepath.Dir(at), "layer-*")
	if err != nil {
		return fmt.Errorf("writing the image %s: %w", i.Name, err)
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	sum := sha256.New()
	if err := i.writeLayer(io.MultiWriter(layer, sum)); err != nil {
		return fmt.Errorf("writing the image %s: %w", i.Name, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.Entrypoint, "User": i.User, "Env": []string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sum.Sum(nil))}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": append([]string{i.Name}, i.Aliases...), "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info, err := layer.Stat()
	if err != nil {
		return err
	}
	return writeArchive(at, []entry{
		{configName, 0o644, int64(len(config)), bytes.NewReader(config)},
		{"layer.tar", 0o644, info.Size(), layer},
		{"manifest.json", 0o644, int64(len(manifest)), bytes.NewReader(manifest)},
	})
}

// entry is a file of an archive.
type entry struct {
	name    string
	mode    int64
	size    int64
	content io.Reader
}

func writeArchive(at string, entries []entry) error {
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, e := range entries {
		if err := writeEntry(w, e); err != nil {
			return fmt.Errorf("writing %s: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", at, err)
	}
	return f.Close()
}

func writeEntry(w *tar.Writer, e entry) error {
	if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: e.size, Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(w, e.content)
	return err
}

func (i Image) writeLayer(to io.Writer) error {
	w := tar.NewWriter(to)
	made := map[string]bool{}
	var directory func(name string, mode int64) error
	directory = func(name string, mode int64) error {
		if name == "." || made[name] {
			return nil
		}
		if err := directory(path.Dir(name), 0o755); err != nil {
			return err
		}
		made[name] = true
		return w.WriteHeader(&tar.Header{Name: name + "/", Mode: mode, Typeflag: tar.TypeDir})
	}
	if err := directory("tmp", 0o1777); err != nil {
		return err
	}
	if err := directory("etc", 0o755); err != nil {
		return err
	}
	if err := writeEntry(w, entry{"etc/passwd", 0o644, int64(len(passwd)), strings.NewReader(passwd)}); err != nil {
		return err
	}
	names := make([]string, 0, len(i.Files))
	for n := range i.Files {
		names = append(names, n)
	}
	slices.Sort(names) // the same image each time
	for _, name := range names {
		inside := strings.TrimPrefix(path.Clean(name), "/")
		if err := directory(path.Dir(inside), 0o755); err != nil {
			return err
		}
		if err := copyEntry(w, inside, i.Files[name]); err != nil {
			return err
		}
	}
	return w.Close()
}

func copyEntry(w *tar.Writer, inside, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return writeEntry(w, entry{inside, int64(info.Mode().Perm() | 0o444), info.Size(), f})
}
