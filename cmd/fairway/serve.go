package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/history"
	"github.com/fairway-mesh/fairway/internal/issuers"
	"github.com/fairway-mesh/fairway/internal/outdated"
	"github.com/fairway-mesh/fairway/internal/reserve"
	"github.com/fairway-mesh/fairway/internal/version"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// serveFlags are the settings of `fairway serve`.
type serveFlags struct {
	config, kubeconfig, meshConfig string
	xds, secureXDS, debug, webhook string
	caDirectory                    string
	namespace                      string
	injection                      string
	webhookConfiguration           string
	certificateLifetime            time.Duration
	gatewayDeployments             bool
	gatewayPullSecrets             []string
	startWithout                   []string
	secretsPatience                time.Duration
	verbose                        bool
}

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane",
		Long: `Run the control plane: read the mesh from Kubernetes (in the cluster, or with --kubeconfig) or from a
directory of YAML (--config), and serve Envoys by xDS until ended by SIGTERM.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // the reader of the log may end, and proxies need no log
			return serve(cmd.Context(), f)
		},
	}
	p := cmd.Flags()
	p.StringVar(&f.config, "config", "", "read objects from this directory of YAML files, and watch it")
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "reach the Kubernetes API by this file; default: as a Pod of the cluster")
	p.StringVar(&f.meshConfig, "mesh-config", "", "MeshConfig file, in place of the ConfigMap istio; watched")
	p.StringVar(&f.xds, "xds-address", "127.0.0.1:15010", `plaintext xDS; anybody who reaches it can be any proxy ("": off)`)
	p.StringVar(&f.secureXDS, "secure-xds-address", ":15012", `xDS over TLS for proxies with a ServiceAccount token, without Kubernetes for those with a certificate of the mesh ("": off)`)
	p.StringVar(&f.debug, "debug-address", ":15014", "health, metrics and debugging by HTTP")
	p.StringVar(&f.webhook, "webhook-address", ":15017", `admission webhooks by HTTPS; only with Kubernetes ("": off)`)
	p.StringVar(&f.injection, "injection", "", "YAML file with the settings of injection: images, resources and others")
	p.StringVar(&f.webhookConfiguration, "webhook-configuration", "", `webhook configurations to keep the caBundle of (default "fairway-NAMESPACE")`)
	p.StringVar(&f.caDirectory, "ca-directory", "", "with --config: keep the mesh's root certificate here; default: the user's data directory")
	p.DurationVar(&f.certificateLifetime, "certificate-lifetime", 24*time.Hour, "how long the certificates of workloads last; they are replaced at half of it")
	p.StringVar(&f.namespace, "namespace", first(os.Getenv("POD_NAMESPACE"), "istio-system"), "namespace that the control plane runs in")
	p.BoolVar(&f.gatewayDeployments, "gateway-deployments", true, "run the Pods of Gateways of the Gateway API that name no Service; only with Kubernetes")
	p.StringSliceVar(&f.gatewayPullSecrets, "gateway-pull-secrets", nil, "Secrets with the credentials of registries for those Pods, in the namespaces of their Gateways")
	p.StringSliceVar(&f.startWithout, "start-without", nil, `kinds that a start does not wait for, as "Telemetry.telemetry.istio.io": their rules are taken from proxies until they can be read`)
	p.DurationVar(&f.secretsPatience, "secrets-patience", 5*time.Minute, "how long proxies keep what they hold while the API server refuses (403) a Secret that they need, before it counts as missing; 0: for ever")
	p.BoolVarP(&f.verbose, "verbose", "v", false, "log what is done, not only what is wrong")
	cmd.MarkFlagsMutuallyExclusive("config", "kubeconfig")
	return cmd
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// serve runs all parts until one of them fails or the context ends.
func serve(ctx context.Context, f serveFlags) error {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	quietLibraries(log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	metrics := newPlaneMetrics(registry)
	reports := newReports(log)
	source, err := newSource(f, reports.input, log)
	if err != nil {
		return err
	}
	ids, err := newIdentities(ctx, f, source, log)
	if err != nil {
		return err
	}
	engine := snapshot.NewEngine(log, ids.certificates(), source.want)
	ids.renewed = engine.Renew
	reports.engine = engine
	past := &history.Recorder{}
	reports.changed = past.Found
	var asked *issuers.Source
	var started sync.Once
	store := mesh.NewStore(log, func(w *mesh.World, d *mesh.Dirty) {
		metrics.changed(d)
		past.Passed(d.Changes, engine.Update(w, d))
		asked.Want(w)
		started.Do(func() { log.Info("ready", "hosts", w.HostCount()) })
		reports.signal()
	})
	store.HoldRoutes = true
	ids.world = store.World
	asked = issuers.New(store.Submit, nil)
	start := &starting{source: source, ids: ids, asked: asked, store: store, log: log}
	store.Complete, store.SecretsByName = start.complete, source.client != nil
	server := discovery.New(discovery.Config{Attach: engine.Attach, Ready: engine.Ready(), Workload: ownerIn(store.World), OnProgress: reports.signal, Log: log, Registerer: registry})
	reports.refusals = server.Refusals
	reports.more = []func() []object.Finding{ids.findings, asked.Findings, func() []object.Finding { return outdated.Findings(version.String(), server.Clients()) }}
	registry.MustRegister(stateMetrics{store.World, reports.all}, viewMetrics{source}, rootMetrics{ids.authority})
	over := newHandOver(source, f.namespace, store.World, server, log)
	leading, err := newLeading(f, source, reports, server, store.World, log)
	if err != nil {
		return err
	}

	registry.MustRegister(cacheMetrics{engine, server}, learnedMetrics{engine}, refusedMetrics{server})
	memory := reserve.NewMemory(log, registry, func() { engine.Shed(); server.Shed() })

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { memory.Run(ctx); return nil })
	g.Go(func() error { return store.Run(ctx) })
	g.Go(func() error { engine.Run(ctx); return nil })
	g.Go(func() error { asked.Run(ctx); return nil })
	g.Go(func() error {
		return source.run(ctx, metrics.counting(store.Submit), func() { log.Info("the first lists are in"); store.Synced() })
	})
	g.Go(func() error { return ids.run(ctx) })
	g.Go(func() error { return start.run(ctx) })
	g.Go(func() error { return reports.run(ctx) })
	g.Go(func() error { return source.watchViews(ctx, log) })
	g.Go(func() error { return over.run(ctx) })
	g.Go(func() error { return write(ctx, f, source.client, ids, leading, log) })
	if err := listenXDS(ctx, g, f, server, ids, reserve.New(log, registry), log); err != nil {
		return err
	}
	if err := listenWebhook(ctx, g, f, source.client, ids, metrics.answered, log); err != nil {
		return err
	}
	handler := debug.Handler(debug.Config{
		Metrics: registry, World: store.World, Findings: reports.all, Proxies: server.Proxies, Dump: engine.Dump, Authorize: authorize(source.client),
		Learned: engine.Learned, Views: source.shownViews, Progress: progressOf(store, server, reports.all), History: past.Entries,
		Ready: func() error {
			if err := start.ready(); err != nil {
				return err
			}
			return over.ready()
		},
	})
	l, err := net.Listen("tcp", f.debug)
	if err != nil {
		return fmt.Errorf("opening the debug port (--debug-address): %w", err)
	}
	g.Go(func() error { return debug.Serve(ctx, l, handler) })
	log.Info("serving", "xds", f.xds, "secureXDS", f.secureXDS, "debug", f.debug, "source", source.place)
	return g.Wait()
}

// ownerIn tells the workload of a pod of the world as it is then.
func ownerIn(world func() *mesh.World) func(namespace, pod string) string {
	return func(namespace, pod string) string {
		if w := world().Workload(namespace, pod); w != nil {
			return w.Owner
		}
		return ""
	}
}

// listenXDS opens the ports for proxies.
func listenXDS(ctx context.Context, g *errgroup.Group, f serveFlags, server *discovery.Server, ids *identities, kept *reserve.Reserve, log *slog.Logger) error {
	open := func(flag, address string, transport discovery.Transport) error {
		if address == "" {
			return nil
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("opening an xDS port (--%s): %w", flag, err)
		}
		g.Go(func() error { return server.Serve(ctx, kept.Listener(l), transport) })
		return nil
	}
	if err := open("xds-address", f.xds, discovery.Transport{}); err != nil {
		return err
	}
	secure, err := ids.transport()
	if err != nil {
		return err
	}
	err = open("secure-xds-address", f.secureXDS, secure)
	if err != nil && f.config != "" { // nothing with a token can come from a directory; the port is a courtesy there
		log.Warn("the secure xDS port is not served", "err", err)
		return nil
	}
	return err
}

// dataDirectory is where the root certificate of a mesh without Kubernetes is kept.
func dataDirectory(flag string) (string, error) {
	if flag == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("finding a place for the root certificate: %w: name one by --ca-directory", err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		flag = filepath.Join(base, "fairway")
	}
	if err := os.MkdirAll(flag, 0o700); err != nil {
		return "", fmt.Errorf("making the directory of the root certificate: %w", err)
	}
	return flag, nil
}
