package discovery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/snapshot"
)

// metrics counts what a server does. The names beginning with pilot_ are those
// that existing dashboards read.
type metrics struct {
	proxies       prometheus.Gauge
	pushes        [snapshot.NumTypes]prometheus.Counter
	pushBytes     [snapshot.NumTypes]prometheus.Counter
	nacks         [snapshot.NumTypes]prometheus.Counter
	overdue       *prometheus.CounterVec
	questions     *prometheus.CounterVec
	bounds        *prometheus.CounterVec
	lost          *prometheus.CounterVec
	convergence   prometheus.Histogram
	pilotProxies  prometheus.Gauge
	pilotPushes   [snapshot.NumTypes]prometheus.Counter
	pilotConverge prometheus.Histogram
	pilotRejects  [snapshot.NumTypes]prometheus.Counter
	pilotErrors   prometheus.Counter
	pilotQueue    prometheus.Histogram
	pilotPushTime [snapshot.NumTypes]prometheus.Observer
	pilotSize     [snapshot.NumTypes]prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	pushes := vec("fairway_xds_pushes_total", "Responses sent to proxies.", "type")
	pushBytes := vec("fairway_xds_push_bytes_total", "Bytes of responses sent to proxies.", "type")
	nacks := vec("fairway_xds_nacks_total", "Responses that proxies refused.", "type")
	pilotPushes := vec("pilot_xds_pushes", "Responses sent to proxies, by the name that Istio's dashboards read.", "type")
	pilotRejects := vec("pilot_total_xds_rejects", "Responses that proxies refused, by the name that Istio's dashboards read.", "type")
	pushTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_push_time", Help: "Seconds that the sending of a response took.", Buckets: buckets,
	}, []string{"type"})
	size := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_config_size_bytes", Help: "Bytes of a response.", Buckets: []float64{1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000},
	}, []string{"type"})
	m := &metrics{
		proxies:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "fairway_xds_proxies", Help: "Proxies connected."}),
		bounds:    vec("fairway_xds_bound_reached_total", "How often a bound of what proxies and strangers may take up was reached.", "bound"),
		lost:      vec("fairway_xds_connections_lost_total", "Connections that were given up since their proxy did not answer (silent) or did not read (unread).", "reason"),
		questions: vec("fairway_xds_questions_total", "Names that sidecars with a learned scope asked for: hosts of the mesh that their workload had not used before (host), and others (none).", "answer"),
		overdue:   vec("fairway_xds_overdue_total", "Steps of a change that went on because a proxy did not answer in time.", "step"),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fairway_xds_convergence_seconds", Help: "From the publication of a change until a proxy has accepted all of it.", Buckets: buckets,
		}),
		pilotProxies: prometheus.NewGauge(prometheus.GaugeOpts{Name: "pilot_xds", Help: "Proxies connected, by the name that Istio's dashboards read."}),
		pilotConverge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_convergence_time", Help: "As fairway_xds_convergence_seconds, by the name that Istio's dashboards read.", Buckets: buckets,
		}),
		pilotErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "pilot_total_xds_internal_errors", Help: "Streams that ended by a fault of the control plane or its network."}),
		pilotQueue: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_queue_time", Help: "Seconds from the publication of a change until a proxy's stream takes it up.", Buckets: buckets,
		}),
	}
	// Series begin with 0: of one that comes into being with 40, Prometheus sees no increase.
	for _, reason := range []string{lostSilent, lostUnread} {
		m.lost.WithLabelValues(reason)
	}
	for p := range phases {
		if p := phase(p); p != phaseIdle { //nolint:gosec // there are few
			m.overdue.WithLabelValues(p.String())
		}
	}
	for _, answer := range []string{askedHost, askedNone} {
		m.questions.WithLabelValues(answer)
	}
	for t := range snapshot.NumTypes {
		m.pushes[t] = pushes.WithLabelValues(t.String())
		m.pushBytes[t] = pushBytes.WithLabelValues(t.String())
		m.nacks[t] = nacks.WithLabelValues(t.String())
		name := t.String()
		if t == snapshot.VirtualHost {
			name = "rds"
		}
		m.pilotPushes[t] = pilotPushes.WithLabelValues(name)
		m.pilotRejects[t] = pilotRejects.WithLabelValues(name)
		m.pilotPushTime[t] = pushTime.WithLabelValues(name)
		m.pilotSize[t] = size.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(m.proxies, pushes, pushBytes, nacks, m.overdue, m.questions, m.lost, m.bounds, m.convergence,
			m.pilotProxies, pilotPushes, m.pilotConverge, pilotRejects, m.pilotErrors, m.pilotQueue, pushTime, size)
	}
	return m
}

func (m *metrics) pushed(t snapshot.Type, bytes int, took time.Duration) {
	m.pilotPushTime[t].Observe(took.Seconds())
	m.pilotSize[t].Observe(float64(bytes))
	m.pushes[t].Inc()
	m.pushBytes[t].Add(float64(bytes))
	m.pilotPushes[t].Inc()
}

func (m *metrics) refused(t snapshot.Type) {
	m.nacks[t].Inc()
	m.pilotRejects[t].Inc()
}

func (m *metrics) converged(d time.Duration) {
	m.convergence.Observe(d.Seconds())
	m.pilotConverge.Observe(d.Seconds())
}

func (m *metrics) connected(n float64) {
	m.proxies.Add(n)
	m.pilotProxies.Add(n)
}
