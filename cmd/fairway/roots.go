package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// mendedShown is how long a finding tells that the roots were put back.
const mendedShown = time.Hour

// findings are what keeps the authority from following its Secrets, and what
// was mended. Without Kubernetes there are none; the log has it.
func (ids *identities) findings() []object.Finding {
	if ids.review == nil || !ids.isOpen() {
		return nil
	}
	var out []object.Finding
	find := func(secret, message string) {
		out = append(out, object.Finding{Object: object.Ref{Kind: object.KindSecret, Namespace: ids.namespace, Name: secret}, Code: object.CodeSecret, Message: message})
	}
	pluggedIn, stored := ids.authority.Problems()
	for secret, err := range map[string]error{kube.PluggedInSecret: pluggedIn, kube.AuthoritySecret: stored} {
		if err != nil {
			find(secret, "the certificate authority goes on with its last good state: "+err.Error())
		}
	}
	if m := ids.authority.Mended(); time.Since(m.At) < mendedShown {
		find(kube.AuthoritySecret, fmt.Sprintf("the roots of the mesh were put back on %s: %s", m.At.UTC().Format(time.RFC3339), faultText(m.Fault)))
	}
	return append(out, ids.told.findings()...)
}

// faultText says in words what was wrong with the Secret, and what to do.
func faultText(fault string) string {
	return map[string]string{
		"deleted": "the Secret was deleted; find out who deletes it, and use `fairway ca rotate` for another root",
		"emptied": "the Secret was emptied; find out who writes there, and use `fairway ca rotate` for another root",
		"damaged": "the Secret was damaged; find out who writes there",
		"older":   "the Secret held an earlier state; leave it out when backups are restored into a mesh that runs",
		"foreign": "the Secret held roots that are not this mesh's; plug an authority of your own in by the Secret cacerts instead",
	}[fault]
}

// rootMetrics tells, when it is asked, how the authority is.
type rootMetrics struct{ authority *identity.Authority }

var (
	restoredDesc = prometheus.NewDesc("fairway_roots_restored_total", "How often this replica put the mesh's roots back where they are stored, by what was wrong there.", []string{"fault"}, nil)
	troubleDesc  = prometheus.NewDesc("fairway_authority_problem", "1 while the authority goes on with its last good state, by what is wrong.", []string{"source"}, nil)
)

// Describe implements prometheus.Collector.
func (rootMetrics) Describe(to chan<- *prometheus.Desc) { to <- restoredDesc; to <- troubleDesc }

// Collect implements prometheus.Collector.
func (r rootMetrics) Collect(to chan<- prometheus.Metric) {
	restored := r.authority.Restored()
	for _, fault := range identity.Faults() {
		to <- prometheus.MustNewConstMetric(restoredDesc, prometheus.CounterValue, float64(restored[fault]), fault)
	}
	pluggedIn, stored := r.authority.Problems()
	for source, err := range map[string]error{"plugged-in": pluggedIn, "stored": stored} {
		value := 0.0
		if err != nil {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(troubleDesc, prometheus.GaugeValue, value, source)
	}
}
