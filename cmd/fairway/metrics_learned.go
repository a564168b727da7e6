package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/snapshot"
)

// learnedMetrics tells, when it is asked, what workloads hold in a mesh with a learned scope.
type learnedMetrics struct{ engine *snapshot.Engine }

var (
	learnedForgottenDesc = prometheus.NewDesc("fairway_learned_forgotten_total", "Names of hosts that workloads with a learned scope had asked for, and have forgotten since they were not used for fairway.learnedFor.", nil, nil)
	learnedWorkloadsDesc = prometheus.NewDesc("fairway_learned_workloads", "Workloads with a learned scope; all: those that asked for too much and hold everything.", []string{"scope"}, nil)
	learnedHostsDesc     = prometheus.NewDesc("fairway_learned_hosts", "Virtual hosts that workloads with a learned scope hold, those of all workloads added up.", nil, nil)
)

// Describe implements prometheus.Collector.
func (learnedMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- learnedWorkloadsDesc
	to <- learnedHostsDesc
	to <- learnedForgottenDesc
}

// Collect implements prometheus.Collector.
func (c learnedMetrics) Collect(to chan<- prometheus.Metric) {
	workloads, hosts, all := c.engine.LearnedCount()
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	gauge(learnedWorkloadsDesc, workloads-all, "learned")
	gauge(learnedWorkloadsDesc, all, "all")
	gauge(learnedHostsDesc, hosts)
	to <- prometheus.MustNewConstMetric(learnedForgottenDesc, prometheus.CounterValue, float64(c.engine.Forgotten()))
}
