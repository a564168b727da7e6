package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/test/chart"
	"github.com/fairway-mesh/fairway/test/cluster"
)

// system is the mesh's namespace, and release the version that is installed there.
const (
	system  = "istio-system"
	release = "v0.1.0"
)

// Bed is a cluster with the definitions of the Gateway API, Fairway, a load
// balancer and the images of the suite's applications.
type Bed struct {
	*cluster.Cluster

	programs programs
	pool     pool
	balance  context.CancelFunc
	balanced chan struct{}
}

// Start makes a Bed. Progress gets a line for each step that takes long.
func Start(ctx context.Context, progress io.Writer) (*Bed, error) {
	programs, err := buildPrograms(ctx, progress)
	if err != nil {
		return nil, err
	}
	images, err := cluster.Images(ctx, release, progress)
	if err != nil {
		return nil, err
	}
	own, err := programs.images()
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Nodes: 2, Images: append(images, own...), Progress: progress})
	if err != nil {
		return nil, err
	}
	b := &Bed{Cluster: c, programs: programs}
	if err := b.furnish(ctx, progress); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close removes the cluster.
func (b *Bed) Close() error {
	if b.balance != nil {
		b.balance()
		<-b.balanced
	}
	return b.Cluster.Close()
}

func (b *Bed) furnish(ctx context.Context, progress io.Writer) error {
	if err := b.startBalancer(ctx, progress); err != nil {
		return err
	}
	definitions, err := filepath.Glob(filepath.Join(b.programs.api, "config", "crd", "experimental", "gateway.networking.*.yaml"))
	if err != nil {
		return err
	}
	if _, err := b.Kubectl(ctx, "", "apply", "--server-side", "-f", strings.Join(definitions, ",")); err != nil {
		return fmt.Errorf("installing the definitions of the Gateway API: %w", err)
	}
	dir, err := os.MkdirTemp("", "fairway-chart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive, err := chart.Package(ctx, dir, release)
	if err != nil {
		return err
	}
	fmt.Fprintln(progress, "installing fairway")
	_, err = b.Helm(ctx, append([]string{"install", "fairway", archive, "-n", system, "--create-namespace", "--wait", "--timeout", "3m"}, values...)...)
	return err
}

// values of the chart: certificates lie in the suite's namespaces, and dozens of
// gateways share a small machine.
var values = []string{
	"--set", "rbac.secretNamespaces={*}", "--set", "ingressGateway.enabled=false",
	"--set", "controlPlane.replicas=1", "--set", "controlPlane.autoscaling.enabled=false",
	"--set", "proxy.resources.requests.cpu=5m", "--set", "proxy.resources.requests.memory=16Mi", "--set", "proxy.concurrency=1",
}

func (b *Bed) startBalancer(ctx context.Context, progress io.Writer) error {
	config, err := clientcmd.BuildConfigFromFlags("", b.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if b.pool, err = newPool(b.Address(0)); err != nil {
		return err
	}
	ctx, b.balance = context.WithCancel(context.WithoutCancel(ctx))
	b.balanced = make(chan struct{})
	go func() {
		defer close(b.balanced)
		for ctx.Err() == nil {
			if err := b.pool.give(ctx, client); err != nil && ctx.Err() == nil {
				fmt.Fprintln(progress, "the load balancer tries again:", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	return nil
}
