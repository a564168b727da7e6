package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/gateways"
	"github.com/fairway-mesh/fairway/internal/status"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// leading is what only the leader does with objects of Kubernetes.
type leading struct {
	conditions *status.Writer     // tells people what became of their objects
	gateways   *gateways.Deployer // runs the Pods of Gateways; nil: it is not asked for
}

// newLeading makes what the leader does; nil without Kubernetes, where objects
// have no status and Gateways no Pods.
func newLeading(f serveFlags, s *source, reports *reports, server *discovery.Server, world func() *mesh.World, log *slog.Logger) (*leading, error) {
	if s.client == nil {
		return nil, nil
	}
	w := &status.Writer{REST: s.rest, Discovery: s.client.Discovery(), Log: log, Replica: os.Getenv("POD_NAME"), World: world,
		Deliveries: func() map[object.Ref]discovery.Delivery { return server.Deliveries(time.Now()) },
		Findings: func() ([]object.Finding, bool) {
			if world() == nil {
				return nil, false
			}
			return reports.all(), true
		}}
	l := &leading{conditions: w}
	if f.gatewayDeployments {
		client, err := dynamic.NewForConfig(s.rest)
		if err != nil {
			return nil, fmt.Errorf("making a client of %s: %w", s.place, err)
		}
		l.gateways = &gateways.Deployer{Client: client, World: world, PullSecrets: f.gatewayPullSecrets, Changed: reports.signal, Log: log}
		reports.more = append(reports.more, l.gateways.Findings)
	}
	reports.tell = func() {
		w.Signal()
		if l.gateways != nil {
			l.gateways.Signal()
		}
	}
	return l, nil
}
