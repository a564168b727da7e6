package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/snapshot"
)

// refusedMetrics tells, when it is asked, what proxies refuse. Findings tell of
// refusals as well, but only of resources that were made of somebody's object, and
// once for each of these objects.
type refusedMetrics struct{ server *discovery.Server }

var refusedDesc = prometheus.NewDesc("fairway_xds_refused_resources", "Resources that connected proxies refuse as they are now, each counted once however many proxies do.", []string{"type"}, nil)

// Describe implements prometheus.Collector.
func (refusedMetrics) Describe(to chan<- *prometheus.Desc) { to <- refusedDesc }

// Collect implements prometheus.Collector.
func (c refusedMetrics) Collect(to chan<- prometheus.Metric) {
	var refused [snapshot.NumTypes]int
	for _, r := range c.server.Refusals() {
		refused[r.Type]++
	}
	for t := range snapshot.NumTypes {
		to <- prometheus.MustNewConstMetric(refusedDesc, prometheus.GaugeValue, float64(refused[t]), t.String())
	}
}
