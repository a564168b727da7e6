package main

import (
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/status"
	"github.com/fairway-mesh/fairway/mesh"
)

// newConditions makes what writes findings on the objects that they are about;
// nil without Kubernetes, where objects have no status.
func newConditions(s *source, reports *reports, server *discovery.Server, world func() *mesh.World, log *slog.Logger) (*status.Writer, error) {
	if s.client == nil {
		return nil, nil
	}
	client, err := dynamic.NewForConfig(s.rest)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", s.place, err)
	}
	name, err := replica()
	if err != nil {
		return nil, err
	}
	w := &status.Writer{Client: client, Discovery: s.client.Discovery(), Log: log, Replica: name, World: world,
		Deliveries: func() map[mesh.Ref]discovery.Delivery { return server.Deliveries(time.Now()) },
		Findings: func() ([]mesh.Finding, bool) {
			if world() == nil {
				return nil, false
			}
			return reports.all(), true
		}}
	reports.tell = w.Signal
	return w, nil
}
