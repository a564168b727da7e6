package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/lease"
	"github.com/fairway-mesh/fairway/internal/webhook"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// listenWebhook opens the port for the API server, and keeps the API server
// trusting it. Without Kubernetes there is nobody who would ask.
func listenWebhook(ctx context.Context, g *errgroup.Group, f serveFlags, client kubernetes.Interface, ids *identities, answered func(string, bool), log *slog.Logger) error {
	if client == nil || f.webhook == "" {
		return nil
	}
	params, err := newInjection(f)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.webhook)
	if err != nil {
		return fmt.Errorf("opening the port of the webhooks (--webhook-address): %w", err)
	}
	certificate := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if err := params.await(hello.Context()); err != nil {
			return nil, err
		}
		return ids.certificate(hello)
	}
	config := webhook.Config{Certificate: certificate, World: ids.world, Log: log, Answered: answered, Params: func() inject.Params { return configured(params.now(), f.namespace, ids.world()) }}
	trust := &webhook.Trust{Client: client, Authority: ids.authority, Name: first(f.webhookConfiguration, "fairway-"+f.namespace), Log: log}
	g.Go(func() error { return webhook.Serve(ctx, l, config) })
	g.Go(func() error { params.ask(ctx, client, log); return nil })
	g.Go(func() error {
		if !ids.awaitOpen(ctx) {
			return nil
		}
		return trust.Run(ctx)
	})
	return nil
}

// configured is the parameters with what MeshConfig.defaultConfig says of proxies, and
// with the families of addresses that pods of the cluster have: our own Pod tells.
func configured(p inject.Params, namespace string, w *mesh.World) inject.Params {
	if w == nil {
		return p
	}
	if own := w.Workload(namespace, os.Getenv("POD_NAME")); own != nil {
		p.IPv6 = p.IPv6 || !own.Addresses[0].Is4()
		p.DualStack = p.DualStack || slices.ContainsFunc(own.Addresses, func(a netip.Addr) bool { return a.Is4() == p.IPv6 })
	}
	c := w.Config.GetDefaultConfig()
	if c.GetHoldApplicationUntilProxyStarts().GetValue() {
		p.HoldApplication = true
	}
	if n := c.GetConcurrency(); n != nil && n.GetValue() >= 0 {
		p.Concurrency = int(n.GetValue())
	}
	p.Environment = c.GetProxyMetadata()
	return p
}

// serviceNames are those by which the Service of the control plane is reached.
func serviceNames(namespace string) []string {
	short := "fairway." + namespace
	return []string{"fairway", short, short + ".svc", short + ".svc." + object.Domain, "localhost", "127.0.0.1", "::1"}
}

// replica is the name of this replica: that of its Pod, or of the machine.
func replica() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("finding a name to stand for election by: %w", err)
	}
	return name, nil
}

// write, once the authority is open, runs what only one replica may: the care of the roots, telling them
// to every namespace, telling people on their objects what became of them, and
// running the Pods of their Gateways. A control plane without Kubernetes is the only one.
func write(ctx context.Context, f serveFlags, client kubernetes.Interface, ids *identities, leading *leading, log *slog.Logger) error {
	if !ids.awaitOpen(ctx) {
		return nil
	}
	if client == nil {
		return ids.authority.Maintain(ctx)
	}
	candidate, err := replica()
	if err != nil {
		return err
	}
	bundle := &kube.Bundle{Client: client, Authority: ids.authority, Namespace: f.namespace, Undone: ids.told.undone, Files: bootstrap.SDSFiles(""), Log: log}
	o := lease.Options{Client: client, Namespace: f.namespace, Name: leaderLease, Candidate: candidate, Log: log}
	return lease.Run(ctx, o, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return ids.authority.Maintain(ctx) })
		g.Go(func() error { return bundle.Run(ctx) })
		g.Go(func() error { return leading.conditions.Run(ctx) })
		if leading.gateways != nil {
			g.Go(func() error { return leading.gateways.Run(ctx) })
		}
		return g.Wait()
	})
}
