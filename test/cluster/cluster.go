package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fairway-mesh/fairway/test/chart"
)

// Options say what Start makes. The zero value is one node in network
// namespaces, removed with the process that started it.
type Options struct {
	// Nodes is how many there are, 1 or 2; 0 is 1. Node N has the zone label zN.
	Nodes int
	// Images are on every node from the beginning.
	Images []Image
	// Kind runs the nodes as containers of kind, which needs a container engine.
	Kind bool
	// Keep leaves the cluster running when this process ends. RemoveKept
	// removes it.
	Keep bool
	// Progress gets a line for each step that takes long. nil: nobody reads it.
	Progress io.Writer
}

// Cluster is a running cluster. Close removes it.
type Cluster struct {
	// Kubeconfig is the path of a file for members of system:masters, valid
	// until Close.
	Kubeconfig string
	// Nodes are their names.
	Nodes []string

	tools toolset
	up    provider
}

// provider is what differs between the ways to run nodes.
type provider interface {
	// load puts an archive of an image on every node.
	load(ctx context.Context, archive string) error
	// address is where the node's ports are reached from this machine.
	address(node int) string
	// restartKubelet ends a node's kubelet and starts it again.
	restartKubelet(ctx context.Context, node int) error
	// remove ends all of it. It may be called again.
	remove() error
}

// ErrImpossible says that this machine cannot run a cluster; the error that
// wraps it says why.
var ErrImpossible = errors.New("a cluster cannot run here")

// Possible says why this machine cannot run a cluster, of kind or of namespaces;
// nil when it can. The error is ErrImpossible.
func Possible(ctx context.Context, onKind bool) error {
	if onKind {
		_, err := runningEngine(ctx)
		return err
	}
	return possible()
}

// Start builds what is needed, once, starts a cluster and returns when its nodes
// are ready. What earlier runs left behind that were killed is removed first.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return nil, fmt.Errorf("a cluster of %d nodes was asked for: there are 1 to %d", o.Nodes, maxNodes)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Kind {
		return startKind(ctx, o)
	}
	return startNamespaces(ctx, o)
}

// Close removes the cluster: processes, devices, mounts and files.
func (c *Cluster) Close() error { return c.up.remove() }

// Load puts an image on every node.
func (c *Cluster) Load(ctx context.Context, image Image) error {
	f, err := os.CreateTemp("", "fairway-image-*.tar")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := image.Write(f.Name()); err != nil {
		return err
	}
	return c.up.load(ctx, f.Name())
}

// Address is where the NodePorts of a node (0 is the first) answer, from this
// machine.
func (c *Cluster) Address(node int) string { return c.up.address(node) }

// Kubectl runs kubectl as administrator, with text on its standard input, and
// returns what it printed. An error holds what it said.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, arguments ...string) (string, error) {
	return c.run(ctx, stdin, c.tools.path("kubectl"), arguments...)
}

// Helm runs helm as administrator and returns what it printed.
func (c *Cluster) Helm(ctx context.Context, arguments ...string) (string, error) {
	helm, err := chart.Helm(ctx, c.tools.progress)
	if err != nil {
		return "", err
	}
	return c.run(ctx, "", helm, arguments...)
}

// Environment is that of somebody who has kubectl and helm, and uses this
// cluster.
func (c *Cluster) Environment(ctx context.Context) ([]string, error) {
	helm, err := chart.Helm(ctx, c.tools.progress)
	if err != nil {
		return nil, err
	}
	path := filepath.Dir(c.tools.path("kubectl")) + ":" + filepath.Dir(helm) + ":" + os.Getenv("PATH")
	return append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "PATH="+path), nil
}

// RestartKubelet ends the kubelet of a node (0 is the first) and starts it again.
// Pods run on; what it remembered of tokens is gone, so that it asks for new
// ones.
func (c *Cluster) RestartKubelet(ctx context.Context, node int) error {
	return c.up.restartKubelet(ctx, node)
}

func (c *Cluster) run(ctx context.Context, stdin, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(arguments, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
