package operate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/translate/resource"
)

func listenerRows(r *explain.Resources) [][]string {
	rows := [][]string{{"LISTENER", "ADDRESS", "CHAIN", "MATCH", "LEADS TO"}}
	for _, name := range slices.Sorted(maps.Keys(r.Listeners)) {
		l := r.Listeners[name]
		row := func(c *listenerv3.FilterChain, match string) {
			rows = append(rows, []string{name, explain.Address(l.Address), cmp.Or(c.Name, "-"), match, explain.LeadsTo(c)})
		}
		for _, c := range l.FilterChains {
			row(c, cmp.Or(explain.ChainMatch(c.FilterChainMatch), "everything"))
		}
		if c := l.DefaultFilterChain; c != nil {
			row(c, "what no other matches")
		}
	}
	return rows
}

func routeRows(r *explain.Resources) [][]string {
	rows := [][]string{{"ROUTES", "VIRTUAL HOST", "DOMAINS", "MATCH", "LEADS TO", "RULE"}}
	for _, name := range slices.Sorted(maps.Keys(r.Routes)) {
		for _, h := range r.Routes[name].VirtualHosts {
			for _, route := range h.Routes {
				rows = append(rows, []string{name, h.Name, shorten(h.Domains), explain.RouteMatch(route.Match), action(route), cmp.Or(explain.Rule(route.Metadata), "-")})
			}
		}
	}
	return rows
}

// shorten keeps the first of many domains.
func shorten(domains []string) string {
	if len(domains) > 2 {
		return fmt.Sprintf("%s + %d", domains[0], len(domains)-1)
	}
	return strings.Join(domains, ", ")
}

// action is what a route does, in a few words.
func action(r *routev3.Route) string {
	switch a := r.Action.(type) {
	case *routev3.Route_Route:
		if w := a.Route.GetWeightedClusters(); w != nil {
			var parts []string
			for _, c := range w.Clusters {
				parts = append(parts, fmt.Sprintf("%d %s", c.Weight.GetValue(), c.Name))
			}
			return strings.Join(parts, ", ")
		}
		return cmp.Or(a.Route.GetCluster(), a.Route.GetClusterHeader())
	case *routev3.Route_Redirect:
		return "redirect"
	case *routev3.Route_DirectResponse:
		return fmt.Sprintf("answer %d", a.DirectResponse.Status)
	}
	return "-"
}

func clusterRows(r *explain.Resources) [][]string {
	rows := [][]string{{"HOST", "PORT", "SUBSET", "DIRECTION", "TYPE", "RULE"}}
	for _, name := range slices.Sorted(maps.Keys(r.Clusters)) {
		c := r.Clusters[name]
		kind := c.GetType().String()
		if t := c.GetClusterType(); t != nil {
			kind = t.Name
		}
		row := []string{name, "-", "-", "-", kind, "-"}
		if host, port, subset, ok := resource.SplitCluster(name); ok {
			row = []string{host, strconv.FormatUint(uint64(port), 10), cmp.Or(subset, "-"), "outbound", kind, "-"}
		} else if p := strings.Split(name, "|"); len(p) == 4 && p[0] == "inbound" {
			row = []string{"-", p[1], "-", "inbound", kind, "-"}
		}
		row[5] = cmp.Or(explain.Rule(c.Metadata), "-")
		rows = append(rows, row)
	}
	return rows
}

// endpointRows need the clusters as well: some carry their endpoints.
func endpointRows(r *explain.Resources) [][]string {
	rows := [][]string{{"ENDPOINT", "HEALTH", "LOCALITY", "PRIORITY", "CLUSTER"}}
	for _, name := range slices.Sorted(maps.Keys(r.Clusters)) {
		a := r.Assignment(name)
		if a == nil {
			continue
		}
		if len(a.Endpoints) == 0 && r.Clusters[name].GetType() == clusterv3.Cluster_EDS {
			rows = append(rows, []string{"none", "-", "-", "-", name})
		}
		for _, group := range a.Endpoints {
			for _, e := range group.LbEndpoints {
				rows = append(rows, []string{explain.Address(e.GetEndpoint().GetAddress()), health(e.HealthStatus),
					cmp.Or(explain.Locality(group.Locality), "-"), strconv.FormatUint(uint64(group.Priority), 10), name})
			}
		}
	}
	return rows
}

func health(s corev3.HealthStatus) string {
	if s == corev3.HealthStatus_UNKNOWN {
		return "HEALTHY" // Envoy takes it so
	}
	return s.String()
}
