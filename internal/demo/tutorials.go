//go:build linux

package demo

import (
	"net/netip"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
)

func tutorials() []tutorial {
	return []tutorial{
		{letter: "A", title: "Two versions behind one service", takes: 8 * time.Second, run: (*run).versions},
		{letter: "B", title: "A headless service behind the ingress gateway", takes: 8 * time.Second, run: (*run).headless,
			mesh: local.Config{Gateway: true}},
		{letter: "C", title: "A live switch under load", takes: 60 * time.Second, run: (*run).load},
		{letter: "D", title: "Bank page: auto injection, routing by user, egress control", takes: 15 * time.Second, run: (*run).bank,
			mesh: local.Config{Gateway: true, Outside: []local.Outside{{
				Name: "styles.example.com", Address: netip.MustParseAddr("203.0.113.10"), Args: []string{"sample", "gallery"},
			}}}},
	}
}
