package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
)

// maxText is the largest file that is read, in bytes.
const maxText = 64 << 20

// standardInput is what the input is called that has no name.
const standardInput = "standard input"

// text is one file.
type text struct {
	name    string
	content []byte
}

// read opens files, those of folders (*.yaml, *.yml, *.json) and "-".
func read(names []string, stdin io.Reader) ([]text, error) {
	var out []text
	for _, name := range names {
		if name == "-" {
			content, err := io.ReadAll(io.LimitReader(stdin, maxText+1))
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			out = append(out, text{standardInput, content})
			continue
		}
		err := filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || file != name && !manifest(file) {
				return err
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			out = append(out, text{file, content})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading what is to be checked: %w", err)
		}
	}
	for _, t := range out {
		if len(t.content) > maxText {
			return nil, fmt.Errorf("%s has more than %d bytes: give it in parts", t.name, maxText)
		}
	}
	return out, nil
}

func manifest(file string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(file)))
}

// cluster reads what a cluster holds now.
func cluster(ctx context.Context, kubeconfig string) ([]mesh.Change, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	config.UserAgent = "fairway-check"
	k, err := informers.NewKubernetes(informers.KubeConfig{REST: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := map[mesh.Ref]mesh.Change{}
	complete := errors.New("complete")
	err = k.Run(ctx, func(changes []mesh.Change) {
		for _, c := range changes {
			all[c.Ref] = c
		}
	}, func() { cancel(complete) })
	if err == nil && context.Cause(ctx) != complete { //nolint:errorlint // the very value
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the objects of %s: %w", config.Host, err)
	}
	return slices.Collect(maps.Values(all)), nil
}
