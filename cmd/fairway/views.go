package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/debug"
)

var (
	viewAgeDesc     = prometheus.NewDesc("fairway_view_age_seconds", "How long ago it was last confirmed that what was read of a kind is what the API server has.", []string{"kind"}, nil)
	viewStaleDesc   = prometheus.NewDesc("fairway_view_stale", "1 when that is too long ago.", []string{"kind"}, nil)
	viewRelistsDesc = prometheus.NewDesc("fairway_view_relists_total", "How often a kind was read anew since its watch had lost something.", []string{"kind"}, nil)
	linkRenewedDesc = prometheus.NewDesc("fairway_api_connections_given_up_total", "Connections with the API server that were given up since nothing came on them.", nil, nil)
)

// viewMetrics tells, when it is asked, how well the source knows the cluster.
type viewMetrics struct{ source *source }

// Describe implements prometheus.Collector.
func (m viewMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{viewAgeDesc, viewStaleDesc, viewRelistsDesc, linkRenewedDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m viewMetrics) Collect(out chan<- prometheus.Metric) {
	for _, v := range m.source.views() {
		stale := 0.0
		if v.Stale {
			stale = 1
		}
		out <- prometheus.MustNewConstMetric(viewAgeDesc, prometheus.GaugeValue, time.Since(v.Confirmed).Seconds(), v.Kind)
		out <- prometheus.MustNewConstMetric(viewStaleDesc, prometheus.GaugeValue, stale, v.Kind)
		out <- prometheus.MustNewConstMetric(viewRelistsDesc, prometheus.CounterValue, float64(v.Relists), v.Kind)
	}
	if m.source.renewed != nil {
		out <- prometheus.MustNewConstMetric(linkRenewedDesc, prometheus.CounterValue, float64(m.source.renewed()))
	}
}

// shownViews are the views as the debug port shows them.
func (s *source) shownViews() []debug.View {
	out := []debug.View{}
	for _, v := range s.views() {
		out = append(out, debug.View{Kind: v.Kind, AgeSeconds: time.Since(v.Confirmed).Seconds(), Stale: v.Stale, Named: v.Named, Problem: v.Problem, Relists: v.Relists})
	}
	return out
}

const (
	// viewsEvery is how often the age of the views is looked at.
	viewsEvery = time.Second
	// viewsSettle is how long they have to be fresh before that is said, so that
	// a link that comes and goes makes one line.
	viewsSettle = 20 * time.Second
)

// watchViews says once that views are stale, and once that none is any more.
func (s *source) watchViews(ctx context.Context, log *slog.Logger) error {
	look := time.NewTicker(viewsEvery)
	defer look.Stop()
	told, fresh := time.Time{}, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		stale, oldest := staleViews(s.views())
		switch {
		case len(stale) > 0:
			fresh = time.Time{}
			if told.IsZero() {
				told = time.Now()
				log.Warn("the API server does not answer; serving proxies what was read last", "kinds", shortList(stale), "confirmed", time.Since(oldest.Confirmed).Round(time.Second).String()+" ago",
					"problem", oldest.Problem, "remedy", "see whether this replica reaches the API server, and what it answers; /readyz says more")
			}
		case told.IsZero():
		case fresh.IsZero():
			fresh = time.Now()
		case time.Since(fresh) > viewsSettle:
			log.Info("the API server answers again; what was read is current", "after", time.Since(told).Round(time.Second).String())
			told, fresh = time.Time{}, time.Time{}
		}
	}
}

// staleViews are the kinds of which the view is stale, and the oldest of them.
func staleViews(list []informers.View) (kinds []string, oldest informers.View) {
	for _, v := range list {
		if !v.Stale {
			continue
		}
		kinds = append(kinds, v.Kind)
		if len(kinds) == 1 || v.Confirmed.Before(oldest.Confirmed) {
			oldest = v
		}
	}
	return kinds, oldest
}

// shortList names the first of many.
func shortList(names []string) string {
	const shown = 4
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}
