package translate

import (
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// KeptCluster is a cluster of a destination that is gone, and that routes in
// force still name, with the endpoints that it has.
type KeptCluster struct {
	Input     ClusterInput
	Endpoints *registry.EndpointSet
}

// KeptClusters are those of a host in the view, each once. None of them is among
// the clusters that the host has there.
func KeptClusters(v *mesh.View, host string) (out []KeptCluster) {
	type name struct {
		port   uint32
		subset string
	}
	seen := map[name]bool{}
	now, _ := v.Service(host)
	rule := v.Rule(now)
	for _, k := range v.KeptAt(host) {
		for _, p := range k.Service.Ports {
			n := name{p.Number, k.Subset}
			there := now != nil && now.Port(p.Number) != nil && (k.Subset == "" || rule.Subset(k.Subset) != nil)
			if seen[n] || there || p.Protocol == object.ProtocolUDP || k.Port != 0 && k.Port != p.Number {
				continue
			}
			seen[n] = true
			in := clusterInput(v, k.Service, k.Endpoints, k.Rule, p.Number)
			in.Subset = k.Rule.Subset(k.Subset)
			out = append(out, KeptCluster{in, k.Endpoints})
		}
	}
	return out
}

// KeptDestination are the clusters of what is gone that a router needs for a
// host that its routes lead to: those of the host, and of what it stood for.
func KeptDestination(v *mesh.View, host string) (out []KeptCluster) {
	seen := map[string]bool{}
	for _, h := range append([]string{host}, v.Kept(host).Hosts()...) {
		if !seen[h] {
			seen[h] = true
			out = append(out, KeptClusters(v, h)...)
		}
	}
	return out
}
