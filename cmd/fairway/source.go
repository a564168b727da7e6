package main

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// source is where the objects of the mesh come from: a directory or Kubernetes.
type source struct {
	place string
	run   func(ctx context.Context, sink informers.Sink, synced func()) error
	// want asks for the Secrets that are to be watched. A directory has them
	// all.
	want func([]object.Ref)
	// views say how well the source knows the API server, and renewed how many
	// connections with it were given up; none, and nil, of a directory.
	views   func() []informers.View
	renewed func() uint64
	// missing is what has not been read yet; none of a directory.
	missing func() []informers.Awaited
	// client reaches the Kubernetes API; nil for a directory.
	client kubernetes.Interface
	// rest is how client reaches it; nil for a directory.
	rest *rest.Config
}

func newSource(f serveFlags, report informers.Report, log *slog.Logger) (*source, error) {
	if f.config != "" {
		d := informers.NewDirectory(informers.DirConfig{Path: f.config, MeshConfig: f.meshConfig, Report: report, Log: log})
		return &source{place: f.config, run: d.Run, want: func([]object.Ref) {}, views: func() []informers.View { return nil }, missing: func() []informers.Awaited { return nil }}, nil
	}
	config, err := kubeConfig(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	k, err := informers.NewKubernetes(informers.KubeConfig{REST: config, RootNamespace: mesh.DefaultConfig().RootNamespace, MeshConfig: f.meshConfig, StartWithout: f.startWithout, SecretsPatience: f.secretsPatience, Report: report, Log: log})
	if err != nil {
		return nil, err
	}
	shared := k.Link().REST() // so that whoever asks finds a connection that lives
	client, err := kubernetes.NewForConfig(shared)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	return &source{place: config.Host, run: k.Run, want: k.Want, missing: k.Missing, views: k.Views, renewed: k.Link().Renewed, client: client, rest: shared}, nil
}

// authorize asks the API server who may read the pages for debugging; nil
// without one.
func authorize(client kubernetes.Interface) debug.Authorize {
	if client == nil {
		return nil
	}
	access := kube.NewAccess(client)
	return func(ctx context.Context, token, path string) error {
		known, allowed, err := access.Allowed(ctx, token, path)
		switch {
		case err != nil:
			return err
		case !known:
			return debug.ErrUnknown
		case !allowed:
			return debug.ErrForbidden
		}
		return nil
	}
}

// kubeConfig reads how to reach the API server: from the file, or as a Pod.
func kubeConfig(file string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if file == "" {
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("reaching the Kubernetes API as a Pod: %w: outside a cluster use --kubeconfig, or --config with a directory", err)
		}
	} else if config, err = clientcmd.BuildConfigFromFlags("", file); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	config.UserAgent = "fairway"
	config.QPS, config.Burst = 200, 400 // watches and token reviews; the server has its own limits
	return config, nil
}
