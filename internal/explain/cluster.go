package explain

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// weighted is a cluster with its weight among others.
type weighted struct {
	name   string
	weight uint32
	sent   *Sent
	answer Changes
}

// balance ends the way at one or several clusters. Missing is the status that requests get
// for one that the proxy does not have; 0: they are connections.
func (w *walk) balance(list []weighted, missing int) {
	var sum float64
	for _, c := range list {
		sum += float64(c.weight)
	}
	for _, c := range list {
		if c.weight == 0 && len(list) > 1 {
			continue
		}
		share := Share{Cluster: c.name, Percent: 100, Sent: c.sent, Answer: c.answer}
		if sum > 0 {
			share.Percent = 100 * float64(c.weight) / sum
		}
		w.Status, w.Flag = 0, ""
		w.cluster(share, missing)
		share.Status, share.Flag = w.Status, w.Flag
		w.To = append(w.To, share)
	}
	if slices.ContainsFunc(w.To, func(s Share) bool { return s.Status != w.Status || s.Flag != w.Flag }) {
		w.Status, w.Flag = 0, "" // the answers of one do not stand for all
	} else if w.Flag != "" {
		w.To = nil
	}
}

// cluster says what becomes of those that it gets.
func (w *walk) cluster(s Share, missing int) {
	c := w.Clusters[s.Cluster]
	if c == nil {
		w.end(missing, "NC", "The proxy has no cluster %q: its rule names a host, port or subset that does not exist.", s.Cluster)
		return
	}
	status := 0
	if missing != 0 {
		status = http.StatusServiceUnavailable
	}
	w.met(c.Metadata)
	part := "All of them go here."
	if s.Percent < 100 {
		part = fmt.Sprintf("It gets %.4g%% of them.", s.Percent)
	}
	if rule := Rule(c.Metadata); rule != "" {
		part += " How it balances and connects follows " + rule + "."
	}
	if c.GetTransportSocket() != nil || len(c.GetTransportSocketMatches()) > 0 {
		part += " It may speak TLS to its endpoints."
	}
	w.say("cluster", s.Cluster, "%s", part)
	switch {
	case s.Cluster == resource.BlackHoleCluster:
		w.end(status, "UH", "Nothing is behind this cluster: outboundTrafficPolicy REGISTRY_ONLY lets nothing out that the mesh does not know.")
	case strings.Contains(c.GetClusterType().GetName(), "dynamic_forward_proxy"):
		w.say("endpoints", "", "Envoy itself asks DNS for %q.", w.Host)
	case c.GetType() == clusterv3.Cluster_ORIGINAL_DST && c.GetClusterType() == nil:
		w.say("endpoints", "", "The one that the client chose: %s.", w.chosen())
	default:
		w.endpoints(c, status)
	}
}

func (w *walk) chosen() string {
	if w.Destination.IsValid() {
		return fmt.Sprintf("%s port %d", w.Destination, w.Port)
	}
	return fmt.Sprintf("what the client's resolver says that %q is, port %d", w.Host, w.Port)
}

// endpoints lists who may get it.
func (w *walk) endpoints(c *clusterv3.Cluster, status int) {
	healthy, all := 0, 0
	var lines []string
	for _, group := range w.Assignment(c.Name).GetEndpoints() {
		for _, e := range group.LbEndpoints {
			line := Address(e.GetEndpoint().GetAddress())
			all++
			if usable(e) {
				healthy++
			} else {
				line += " " + e.HealthStatus.String()
			}
			if l := Locality(group.Locality); l != "" {
				line += " in " + l
			}
			if group.Priority > 0 {
				line += fmt.Sprintf(", priority %d", group.Priority)
			}
			lines = append(lines, line)
		}
	}
	switch {
	case all == 0:
		w.end(status, "UH", "The cluster has no endpoint: no ready Pod has the labels of the service or subset.")
	case healthy == 0 && c.GetCommonLbConfig().GetHealthyPanicThreshold() != nil && c.CommonLbConfig.HealthyPanicThreshold.Value == 0:
		w.end(status, "UH", "None of the endpoints is healthy: %s.", strings.Join(lines, "; "))
	case healthy < all:
		w.say("endpoints", "", "%d of %d are healthy: %s.", healthy, all, strings.Join(lines, "; "))
	default:
		w.say("endpoints", "", "%s.", strings.Join(lines, "; "))
	}
}
