package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// objects are what a mesh is made of, as it was read once.
type objects map[object.Ref]mesh.Change

// readTimeout bounds how long a cluster may take to list its objects.
const readTimeout = 2 * time.Minute

// readDirectory reads a directory of YAML as `fairway serve --config` would.
func readDirectory(ctx context.Context, directory string) (objects, error) {
	info, err := os.Stat(directory)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "reading", Path: directory, Err: errors.New("not a directory")}
	}
	if err != nil {
		return nil, err
	}
	source := informers.NewDirectory(informers.DirConfig{Path: directory, Log: slog.New(slog.DiscardHandler)})
	return readOnce(ctx, directory, source.Run)
}

// readCluster reads what a cluster has, but no Secrets.
func readCluster(ctx context.Context, kubeconfig string) (objects, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w: name a kubeconfig, or a directory by --config", err)
	}
	source, err := informers.NewKubernetes(informers.KubeConfig{REST: config, RootNamespace: mesh.DefaultConfig().RootNamespace, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return readOnce(ctx, config.Host, source.Run)
}

// readOnce runs a source until it is complete.
func readOnce(ctx context.Context, place string, run func(context.Context, informers.Sink, func()) error) (objects, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := objects{}
	complete := errors.New("complete")
	err := run(ctx, func(changes []mesh.Change) {
		for _, c := range changes {
			if c.Object == nil {
				delete(all, c.Ref)
			} else {
				all[c.Ref] = c
			}
		}
	}, func() { cancel(complete) })
	if err == nil && context.Cause(ctx) != complete { //nolint:errorlint // the very value
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the objects of %s: %w", place, err)
	}
	return all, nil
}
