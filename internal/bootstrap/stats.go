package bootstrap

import "math"

// Stats names statistics of Envoy's own to keep beside those that every proxy
// has; a cluster's, say: prefix "cluster.outbound|80||reviews".
type Stats struct{ Prefixes, Suffixes, Regexps []string }

// statsConfig keeps the statistics that people and dashboards read and leaves
// out those that grow with the mesh: Envoy's own statistics of each cluster and
// route are the larger part of its memory. The workload metrics (prefix istio)
// are made by the access loggers that the control plane configures.
func statsConfig(c Config) object {
	prefixes := []string{
		"istio", "wasmcustom.istio", // workload metrics
		"cluster_manager.", "listener_manager.", "control_plane.", "server.", "overload.", "main_thread.", "workers.",
		"cluster." + XDSCluster + ".", "sds.", "access_logs.", "http.inbound",
	}
	if c.Role == Router {
		prefixes = append(prefixes, "http.")
	}
	if len(c.Probes) > 0 { // healthFilter decides by the cluster's gauge membership_healthy
		prefixes = append(prefixes, "cluster."+probeName+"|")
	}
	// What tells how much is under way and why something was refused.
	suffixes := []string{
		"downstream_cx_active", "rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied",
		"ssl.handshake", "ssl.connection_error", "ssl.fail_verify_san", "ssl.fail_verify_error",
	}
	var patterns []any
	for _, p := range append(prefixes, c.Stats.Prefixes...) {
		patterns = append(patterns, object{"prefix": p})
	}
	for _, s := range append(suffixes, c.Stats.Suffixes...) {
		patterns = append(patterns, object{"suffix": s})
	}
	for _, r := range c.Stats.Regexps {
		patterns = append(patterns, object{"safe_regex": object{"regex": r}})
	}
	return object{
		"stats_matcher":             object{"inclusion_list": object{"patterns": patterns}},
		"histogram_bucket_settings": []any{object{"match": object{"prefix": "istio"}, "buckets": istioBuckets()}},
	}
}

// istioBuckets are the upper bounds that Istio's histograms have, in
// milliseconds or bytes; Istio's dashboards compute quantiles from them.
func istioBuckets() []any {
	return []any{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}
}

// overloadManager sets the limit of downstream connections that Envoy warns
// about when there is none. It is no limit: what holds a pod back is its
// memory, which the pod's own limits bound.
func overloadManager() object {
	const monitor = "envoy.resource_monitors.global_downstream_max_connections"
	return object{"resource_monitors": []any{
		filter(monitor, "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
			object{"max_active_downstream_connections": math.MaxInt32}),
	}}
}
