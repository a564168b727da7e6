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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// namespaces are nodes in network namespaces of this machine.
type namespaces struct {
	instance *instance
	tools    toolset
	nodes    int
	keep     bool

	mu        sync.Mutex
	processes []*process
}

// patience is how long a part may take to be ready.
const patience = 2 * time.Minute

func startNamespaces(ctx context.Context, o Options) (*Cluster, error) {
	if err := possible(); err != nil {
		return nil, err
	}
	tools, err := newToolset(ctx, o.Progress, "containerd", "runc", "cni", "coredns")
	if err != nil {
		return nil, err
	}
	i, err := claim()
	if err != nil {
		return nil, err
	}
	n := &namespaces{instance: i, tools: tools, nodes: o.Nodes, keep: o.Keep}
	c := &Cluster{Kubeconfig: i.kubeconfig(), tools: tools, up: n}
	for node := range o.Nodes {
		c.Nodes = append(c.Nodes, i.nodeName(node))
	}
	if err := n.start(ctx, o.Images, o.Progress); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a cluster: %w", err), n.remove())
	}
	if o.Keep {
		if err := i.write(filepath.Base(i.keepFile()), ""); err != nil {
			return nil, errors.Join(err, n.remove())
		}
		i.lock.Close()
	}
	return c, nil
}

// possible says whether this machine can run nodes.
func possible() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it takes root", ErrImpossible)
	}
	for program, source := range map[string]string{"nft": "nftables", "mount": "mount", "ldd": "libc-bin"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: there is no %s: install %s", ErrImpossible, program, source)
		}
	}
	if len(groupRoots()) == 0 {
		return fmt.Errorf("%w: there are no control groups in %s", ErrImpossible, groupMount)
	}
	space, err := newNamespace(fmt.Sprintf("fwc-try-%d", os.Getpid()))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	space.Close()
	return deleteNamespace(fmt.Sprintf("fwc-try-%d", os.Getpid()))
}

func (n *namespaces) start(ctx context.Context, images []Image, progress io.Writer) error {
	i := n.instance
	if err := os.MkdirAll(i.file("bin"), 0o755); err != nil {
		return err
	}
	if err := i.makeNetwork(n.nodes); err != nil {
		return err
	}
	if err := i.writeCredentials(); err != nil {
		return err
	}
	if err := n.linkPrograms(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	archives := []string{}
	g.Go(func() error {
		var err error
		archives, err = n.writeImages(gctx, images)
		return err
	})
	if err := n.startPlane(); err != nil {
		return err
	}
	for node := range n.nodes {
		if err := n.startRuntime(node); err != nil {
			return err
		}
	}
	g.Go(func() error { return n.waitPlane(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := n.startControllers(); err != nil {
		return err
	}
	fmt.Fprintln(progress, "the API server is ready")
	g, gctx = errgroup.WithContext(ctx)
	for node := range n.nodes {
		g.Go(func() error {
			for _, a := range archives {
				if err := n.loadNode(gctx, node, a); err != nil {
					return err
				}
			}
			return n.startNode(node)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := n.waitNodes(ctx); err != nil {
		return err
	}
	for _, a := range archives {
		os.Remove(a)
	}
	return n.startNames(ctx)
}

// linkPrograms puts what containerd executes into one directory.
func (n *namespaces) linkPrograms() error {
	for _, p := range []string{"runc", "bridge", "loopback", "host-local", "portmap"} {
		if err := os.Symlink(n.tools.path(p), filepath.Join(n.instance.file("bin"), p)); err != nil {
			return err
		}
	}
	return nil
}

// writeImages makes the archives of what every node needs, and of the images
// asked for.
func (n *namespaces) writeImages(ctx context.Context, images []Image) ([]string, error) {
	pause := n.instance.file("pause")
	if err := buildCommand(ctx, "test/cluster/pause", "", pause); err != nil {
		return nil, err
	}
	all := append([]Image{
		{Name: pauseImage, Entrypoint: []string{"/pause"}, User: "65532", Files: map[string]string{"/pause": pause}},
		{Name: dnsImage, Entrypoint: []string{"/coredns"}, Files: map[string]string{"/coredns": n.tools.path("coredns")}},
	}, images...)
	var out []string
	for k, image := range all {
		at := n.instance.file(fmt.Sprintf("image-%d.tar", k))
		if err := image.Write(at); err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}

const (
	pauseImage = "fairway.local/pause:1"
	dnsImage   = "fairway.local/coredns:1"
)

func (n *namespaces) load(ctx context.Context, archive string) error {
	for node := range n.nodes {
		if err := n.loadNode(ctx, node, archive); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespaces) loadNode(ctx context.Context, node int, archive string) error {
	cmd := exec.CommandContext(ctx, n.tools.path("ctr"), "-a", n.instance.socket(node), "-n", "k8s.io", "images", "import", "--local", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("putting an image on %s: %w: %s", n.instance.nodeName(node), err, bytes.TrimSpace(out))
	}
	return nil
}

func (n *namespaces) address(node int) string { return n.instance.address(node) }

func (n *namespaces) remove() error {
	err := n.instance.sweep()
	return errors.Join(err, n.instance.lock.Close())
}

func (n *namespaces) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", n.instance.kubeconfig())
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// wait polls until the condition holds. It gives up when a program ends.
func (n *namespaces) wait(ctx context.Context, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		for _, p := range n.started() {
			if !p.running() {
				return p.trouble()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (n *namespaces) waitPlane(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	if err := n.wait(ctx, "the API server", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	return n.wait(ctx, "containerd", func(context.Context) error {
		for node := range n.nodes {
			if _, err := os.Stat(n.instance.socket(node)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *namespaces) waitNodes(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	return n.wait(ctx, "the nodes", func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready := 0
		for _, node := range nodes.Items {
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready < n.nodes {
			return fmt.Errorf("%d of %d are ready", ready, n.nodes)
		}
		return nil
	})
}
