package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"golang.org/x/sync/errgroup"

	"github.com/fairway-mesh/fairway/test/kube"
)

// source is where the control plane reads its objects: an API server, or a
// directory when api is nil.
type source struct {
	server    *kube.Server
	api       rest.Interface
	directory string
}

func newSource(ctx context.Context, which, dir string) (*source, error) {
	if which == "dir" {
		return &source{directory: filepath.Join(dir, "objects")}, os.MkdirAll(filepath.Join(dir, "objects"), 0o755)
	}
	server, err := kube.Start(ctx, kube.Options{Arguments: []string{"--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--enable-priority-and-fairness=false"}})
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(server.REST)
	if err != nil {
		server.Close()
		return nil, err
	}
	return &source{server: server, api: client.RESTClient()}, nil
}

func (s *source) close() {
	if s.server != nil {
		s.server.Close()
	}
}

// arguments are those of `fairway serve` to read from here.
func (s *source) arguments() []string {
	if s.api == nil {
		return []string{"--config", s.directory}
	}
	return []string{"--kubeconfig", s.server.Kubeconfig, "--webhook-address", ""}
}

func (o object) collection() string {
	p := o.kind.path
	if o.namespace != "" {
		p += "/namespaces/" + o.namespace
	}
	return p + "/" + o.kind.plural
}

func (s *source) file(o object) string {
	return filepath.Join(s.directory, fmt.Sprintf("%s-%s-%s.json", o.kind.kind, o.namespace, o.name))
}

// create writes objects that do not exist, several at a time.
func (s *source) create(ctx context.Context, objects []object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, o := range objects {
		g.Go(func() error {
			body, err := o.marshal()
			if err != nil {
				return err
			}
			if s.api == nil {
				return s.write(o, body)
			}
			err = s.api.Post().AbsPath(o.collection()).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("creating %s %s: %w", o.kind.kind, o.name, err)
			}
			if o.status == nil {
				return nil
			}
			return s.putStatus(ctx, o)
		})
	}
	return g.Wait()
}

func (s *source) putStatus(ctx context.Context, o object) error {
	patch, err := json.Marshal(map[string]any{"status": o.status})
	if err != nil {
		return err
	}
	err = s.api.Patch("application/merge-patch+json").AbsPath(o.collection(), o.name, "status").Body(patch).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("writing the status of %s %s: %w", o.kind.kind, o.name, err)
	}
	return nil
}

// ready writes the status of a pod that exists.
func (s *source) ready(ctx context.Context, o object) error {
	if s.api == nil {
		return s.update(ctx, o)
	}
	return s.putStatus(ctx, o)
}

// write replaces a file by renaming.
func (s *source) write(o object, body []byte) error {
	part := filepath.Join(s.directory, "."+filepath.Base(s.file(o)))
	if err := os.WriteFile(part, body, 0o644); err != nil {
		return err
	}
	return os.Rename(part, s.file(o))
}

// update replaces an object that exists, apart from its status.
func (s *source) update(ctx context.Context, o object) error {
	if s.api == nil {
		body, err := o.marshal()
		if err != nil {
			return err
		}
		return s.write(o, body)
	}
	status := o.status
	o.status = nil
	patch, err := o.marshal()
	o.status = status
	if err != nil {
		return err
	}
	err = s.api.Patch("application/merge-patch+json").AbsPath(o.collection(), o.name).Body(patch).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("updating %s %s: %w", o.kind.kind, o.name, err)
	}
	return nil
}

func (s *source) remove(ctx context.Context, o object) error {
	if s.api == nil {
		return os.Remove(s.file(o))
	}
	grace := []byte(`{"gracePeriodSeconds":0}`)
	err := s.api.Delete().AbsPath(o.collection(), o.name).SetHeader("Content-Type", "application/json").Body(grace).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("deleting %s %s: %w", o.kind.kind, o.name, err)
	}
	return nil
}
