//go:build linux

package local

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/fairway-mesh/fairway/internal/inject"
)

// Config is what a local mesh needs. The zero value of everything but Fairway and
// Envoy is useful.
type Config struct {
	// Fairway is the path of the fairway binary, Envoy that of a stock Envoy.
	Fairway, Envoy string
	// Nodes are the machines that pods believe to run on. Empty: one.
	Nodes []Node
	// IPv6 gives pods and services that ask for it an IPv6 address too.
	IPv6 bool
	// MeshConfig is the YAML of Istio's MeshConfig, as in ConfigMap istio, key mesh.
	// Empty: defaults.
	MeshConfig string
	// Gateway runs an ingress gateway behind Service istio-ingressgateway in istio-system.
	Gateway bool
	// ServeArgs are added to the arguments of fairway serve.
	ServeArgs []string
	// NoControlPlane runs none; proxies then wait for one.
	NoControlPlane bool
	// Outside are hosts beyond the mesh, by name. Each runs one sample application.
	Outside []Outside
	// Concurrency is the number of worker threads of each Envoy. Zero: that of injection.
	Concurrency int
	// KeepFiles leaves logs and manifests in Mesh.Dir after Close.
	KeepFiles bool
	// Log is told of what goes wrong. Nil: nobody is.
	Log *slog.Logger
}

// Node is a machine that pods believe to run on.
type Node struct {
	Name   string
	Labels map[string]string
}

// Outside is a host beyond the mesh, reachable from pods by name and address.
type Outside struct {
	Name    string     // DNS name
	Address netip.Addr // not of the ranges below
	Args    []string   // arguments of fairway, such as "sample", "gallery"
}

// The networks of every local mesh. They live behind its own router, so that
// meshes do not meet each other or the machine.
var (
	podNetwork      = netip.MustParsePrefix("10.244.0.0/16")
	podNetwork6     = netip.MustParsePrefix("fd00:10:244::/64")
	serviceNetwork  = netip.MustParsePrefix("10.96.0.0/16")
	serviceNetwork6 = netip.MustParsePrefix("fd00:10:96::/112")
	routerAddress   = netip.MustParseAddr("10.244.0.1")
	routerAddress6  = netip.MustParseAddr("fd00:10:244::1")
	dnsAddress      = netip.MustParseAddr("10.96.0.10")
)

const (
	clusterDomain = "cluster.local"
	rootNamespace = "istio-system"
	xdsPort       = 15010
	debugPort     = 15014
	// zone is the label of Nodes that localities come from.
	zoneLabel, regionLabel = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
)

// XDSAddress is where proxies of a local mesh reach their control plane, without
// TLS: for fairway inject --xds-address, with --plaintext.
func XDSAddress() string { return netip.AddrPortFrom(routerAddress, xdsPort).String() }

// complete fills in defaults, or says what is missing.
func (c Config) complete() (Config, error) {
	for _, f := range []struct{ what, path string }{{"fairway", c.Fairway}, {"Envoy", c.Envoy}} {
		info, err := os.Stat(f.path)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return c, fmt.Errorf("the local mesh needs the %s binary: %q is not an executable file", f.what, f.path)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Nodes) == 0 {
		c.Nodes = []Node{{Name: "node-1", Labels: map[string]string{regionLabel: "local", zoneLabel: "local-a"}}}
	}
	return c, nil
}

// injection is what the mesh decides for injected pods.
func (c Config) injection() inject.Params {
	p := inject.DefaultParams()
	p.XDSAddress, p.Plaintext = XDSAddress(), true
	p.RootNamespace, p.ClusterDomain = rootNamespace, clusterDomain
	p.DrainWait = time.Second
	if c.Concurrency > 0 {
		p.Concurrency = c.Concurrency
	}
	return p
}
