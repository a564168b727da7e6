package main

import (
	"context"
	"errors"
	"log/slog"

	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
)

// source is where the objects of the mesh come from: a directory or Kubernetes.
type source struct {
	client    kubernetes.Interface // nil for a directory
	directory *informers.Directory // nil for Kubernetes
	place     string
}

func newSource(f serveFlags, report informers.Report, log *slog.Logger) (*source, error) {
	if f.config == "" {
		return nil, errors.New("name a directory by --config")
	}
	return &source{place: f.config, directory: informers.NewDirectory(informers.DirConfig{Path: f.config, MeshConfig: f.meshConfig, Report: report, Log: log})}, nil
}

// want asks for the Secrets that are to be watched. A directory has them all.
func (s *source) want(secrets []mesh.Ref) {}

func (s *source) run(ctx context.Context, sink informers.Sink, synced func()) error {
	return s.directory.Run(ctx, sink, synced)
}
