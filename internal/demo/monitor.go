//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
	"sigs.k8s.io/yaml"
)

// prometheusPort is where Prometheus listens in the mesh's network.
const prometheusPort = 9090

// ErrNoPrometheus says that there is no Prometheus in PATH.
var ErrNoPrometheus = errors.New("prometheus is not in PATH (Debian: apt-get install prometheus)")

// StartPrometheus has Prometheus, found in PATH, scrape the pods that the mesh has
// now, by the scrape configuration of samples/, in which only the discovery is
// another one: a file instead of a Kubernetes API. Its data is in the mesh's
// directory, and it ends with the mesh. The result is its address on the machine.
func StartPrometheus(ctx context.Context, m *local.Mesh, interval time.Duration) (string, error) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return "", ErrNoPrometheus
	}
	dir, err := os.MkdirTemp(m.Dir(), "prometheus-")
	if err != nil {
		return "", fmt.Errorf("making a directory for Prometheus: %w", err)
	}
	targets, err := m.PrometheusTargets()
	if err != nil {
		return "", fmt.Errorf("listing what Prometheus scrapes: %w", err)
	}
	config, err := scrapeConfig(filepath.Join(dir, "targets.json"), interval)
	if err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "prometheus.log"))
	if err != nil {
		return "", fmt.Errorf("opening Prometheus' log: %w", err)
	}
	defer log.Close()
	for name, content := range map[string][]byte{"prometheus.yml": config, "targets.json": targets} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", fmt.Errorf("configuring Prometheus: %w", err)
		}
	}
	cmd := exec.Command(program, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", netip.AddrPortFrom(local.NodeAddress(), prometheusPort).String(), "--log.level", "error")
	cmd.Stdout, cmd.Stderr = log, log
	if err := m.StartOnNode(cmd); err != nil {
		return "", err
	}
	return m.NodeURL(ctx, prometheusPort)
}

// scrapeConfig is the one of samples/ with discovery from a file.
func scrapeConfig(targets string, interval time.Duration) ([]byte, error) {
	var config struct {
		Global  map[string]any   `json:"global"`
		Scrapes []map[string]any `json:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict(file("metrics/prometheus.yml"), &config); err != nil {
		return nil, fmt.Errorf("reading the scrape configuration: %w", err)
	}
	config.Global["scrape_interval"] = interval.String()
	for _, job := range config.Scrapes {
		delete(job, "kubernetes_sd_configs")
		job["file_sd_configs"] = []any{map[string]any{"files": []any{targets}}}
	}
	return yaml.Marshal(config)
}

// watch offers Prometheus for a mesh that stays.
func (r *run) watch(ctx context.Context) error {
	url, err := StartPrometheus(ctx, r.mesh, 5*time.Second)
	if errors.Is(err, ErrNoPrometheus) {
		r.try("For the dashboards: %s, and again.", err)
		return nil
	}
	if err != nil {
		return err
	}
	r.try("Prometheus scrapes the proxies: open %s/graph, ask for istio_requests_total.", url)
	r.try("The dashboards samples/metrics/*-dashboard.json can be imported into a Grafana whose data source is that address.")
	return nil
}
