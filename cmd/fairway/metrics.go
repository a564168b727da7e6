package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/version"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// planeMetrics counts what the control plane reads and is asked. The names are
// those that Istio's control plane dashboard queries; what concerns proxies is
// counted by the server of xDS.
type planeMetrics struct {
	registry, config *prometheus.CounterVec // by kind and event
	triggers         *prometheus.CounterVec // by what changed
	answers          map[string]answers     // by webhook
}

// answers counts a webhook's.
type answers struct{ passed, refused prometheus.Counter }

func newPlaneMetrics(registerer prometheus.Registerer) *planeMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &planeMetrics{
		registry: vec("pilot_k8s_reg_events", "Events of Services, workloads and what places them.", "type", "event"),
		config:   vec("pilot_k8s_cfg_events", "Events of objects that configure the mesh.", "type", "event"),
		triggers: vec("pilot_push_triggers", "Changes of the world, by what changed.", "type"),
		answers: map[string]answers{
			"inject": {counter("sidecar_injection_success_total", "Pods whose creation was let through, with a proxy where one is wanted."),
				counter("sidecar_injection_failure_total", "Pods to which no proxy could be added.")},
			"validate": {counter("galley_validation_passed", "Objects of the mesh that were valid when they were applied."),
				counter("galley_validation_failed", "Objects of the mesh that were refused when they were applied.")},
		},
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "istio_build", Help: "1, with the version of the control plane.",
		ConstLabels: prometheus.Labels{"component": "pilot", "tag": version.String()}})
	build.Set(1)
	registerer.MustRegister(m.registry, m.config, m.triggers, build)
	for _, a := range m.answers {
		registerer.MustRegister(a.passed, a.refused)
	}
	return m
}

// registryKinds are the kinds that say what runs; others say how it is reached.
var registryKinds = map[object.Kind]struct{}{
	object.KindService: {}, object.KindPod: {}, object.KindNode: {}, object.KindNamespace: {}, object.KindEndpointSlice: {},
}

// counting counts changes on their way to next.
func (m *planeMetrics) counting(next func([]mesh.Change)) func([]mesh.Change) {
	return func(changes []mesh.Change) {
		for _, c := range changes {
			event := "update"
			if _, unread := c.Object.(mesh.Unread); unread || c.Object == nil {
				event = "delete"
			}
			into := m.config
			if _, ok := registryKinds[c.Ref.Kind]; ok {
				into = m.registry
			}
			into.WithLabelValues(string(c.Ref.Kind), event).Inc()
		}
		next(changes)
	}
}

// changed counts a pass over the world.
func (m *planeMetrics) changed(d *mesh.Dirty) {
	deepest := mesh.TouchNone
	for _, t := range d.Hosts {
		deepest = max(deepest, t)
	}
	kind := "config"
	switch {
	case d.All:
		kind = "global"
	case deepest == mesh.TouchHost || d.Gateways || d.Scopes || len(d.Namespaces)+len(d.Inbound) > 0:
	case deepest == mesh.TouchEndpoints:
		kind = "endpoint"
	case len(d.Secrets) > 0:
		kind = "secret"
	case len(d.Workloads) > 0:
		kind = "proxy"
	}
	m.triggers.WithLabelValues(kind).Inc()
}

// answered counts an answer of a webhook.
func (m *planeMetrics) answered(webhook string, allowed bool) {
	if allowed {
		m.answers[webhook].passed.Inc()
	} else {
		m.answers[webhook].refused.Inc()
	}
}

// stateMetrics tells, when it is asked, what the world holds and what is wrong
// with it.
type stateMetrics struct {
	world    func() *mesh.World
	findings func() []object.Finding
}

var (
	hostsDesc     = prometheus.NewDesc("fairway_hosts", "Hosts of the mesh.", nil, nil)
	servicesDesc  = prometheus.NewDesc("pilot_services", "As fairway_hosts, by the name that Istio's dashboards read.", nil, nil)
	virtualDesc   = prometheus.NewDesc("pilot_virt_services", "VirtualServices in force.", nil, nil)
	duplicateDesc = prometheus.NewDesc("pilot_vservice_dup_domain", "VirtualServices of which a host is another's.", nil, nil)
	listenerDesc  = prometheus.NewDesc("pilot_conflict_outbound_listener_tcp_over_current_tcp", "Services that cannot have the listener which another has.", nil, nil)
	findingsDesc  = prometheus.NewDesc("fairway_findings", "What is wrong with objects of the mesh.", []string{"code"}, nil)
)

// Describe implements prometheus.Collector.
func (stateMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hostsDesc, servicesDesc, virtualDesc, duplicateDesc, listenerDesc, findingsDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s stateMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	w := s.world()
	if w == nil {
		return
	}
	virtual := 0
	for range w.VirtualServices() {
		virtual++
	}
	gauge(hostsDesc, w.HostCount())
	gauge(servicesDesc, w.HostCount())
	gauge(virtualDesc, virtual)
	codes, duplicates, listeners := map[object.Code]int{}, map[object.Ref]struct{}{}, map[object.Ref]struct{}{}
	for _, f := range s.findings() {
		codes[f.Code]++
		if f.Code != object.CodeConflict {
			continue
		}
		switch f.Object.Kind {
		case object.KindVirtualService:
			duplicates[f.Object] = struct{}{}
		case object.KindService, object.KindServiceEntry:
			listeners[f.Object] = struct{}{}
		}
	}
	gauge(duplicateDesc, len(duplicates))
	gauge(listenerDesc, len(listeners))
	for code, n := range codes {
		gauge(findingsDesc, n, string(code))
	}
}

// cacheMetrics tells, when it is asked, how much what is kept for speed takes.
type cacheMetrics struct {
	engine *snapshot.Engine
	server *discovery.Server
}

var (
	cacheEntriesDesc   = prometheus.NewDesc("fairway_cache_entries", "Entries of a cache: resources that are in use (built), ways from one state to the next (steps).", []string{"cache"}, nil)
	cacheBytesDesc     = prometheus.NewDesc("fairway_cache_bytes", "Bytes of a cache, about.", []string{"cache"}, nil)
	cacheLimitDesc     = prometheus.NewDesc("fairway_cache_limit_bytes", "Bytes that a cache may take; what is built is bounded by the mesh.", []string{"cache"}, nil)
	cacheEvictionsDesc = prometheus.NewDesc("fairway_cache_evictions_total", "Entries that were dropped since a cache had no room.", []string{"cache"}, nil)
)

// Describe implements prometheus.Collector.
func (cacheMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cacheEntriesDesc, cacheBytesDesc, cacheLimitDesc, cacheEvictionsDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c cacheMetrics) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, n int, cache string) {
		to <- prometheus.MustNewConstMetric(d, kind, float64(n), cache)
	}
	entries, bytes := c.engine.Built()
	tell(cacheEntriesDesc, prometheus.GaugeValue, entries, "built")
	tell(cacheBytesDesc, prometheus.GaugeValue, bytes, "built")
	steps := c.server.Cache()
	tell(cacheEntriesDesc, prometheus.GaugeValue, steps.Entries, "steps")
	tell(cacheBytesDesc, prometheus.GaugeValue, steps.Bytes, "steps")
	tell(cacheLimitDesc, prometheus.GaugeValue, steps.Limit, "steps")
	tell(cacheEvictionsDesc, prometheus.CounterValue, steps.Evictions, "steps")
}
