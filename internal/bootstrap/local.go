package bootstrap

import (
	"strconv"
	"strings"
	"time"
)

// Names of static clusters and listeners.
const (
	adminName      = "prometheus_stats" // as Istio's, so that tools leave it out
	readinessName  = "agent"            // as Istio's
	probeName      = "probes"
	prometheusName = "prometheus"
)

// adminAddress is where the admin interface listens. Applications and tools of
// the pod reach a sidecar's on loopback. A gateway's is a Unix socket, since
// names of tenants lead gateways to addresses that nobody can check before they
// are resolved; that they lead to loopback must not open it.
func adminAddress(c Config) object {
	if c.Role == Router {
		return pipe(AdminSocket)
	}
	return socket("127.0.0.1", AdminPort)
}

// admin only tells: what would change or end the proxy is not served at all.
func admin(c Config) object {
	pages := "/(" + strings.Join(adminPages, "|") + `)(\?.*)?`
	return object{"address": adminAddress(c), "allow_paths": []any{object{"safe_regex": object{"regex": pages}}}}
}

// adminPages are what is served of the admin interface, with any query.
var adminPages = []string{"ready", "stats", "stats/prometheus", "config_dump", "init_dump", "clusters", "listeners", "certs", "server_info", "memory", "runtime", "help"}

// adminCluster is Envoy's own admin interface.
func adminCluster(c Config) object {
	return object{
		"name": adminName, "type": "STATIC", "connect_timeout": "0.25s",
		"load_assignment": assignment(adminName, adminAddress(c)),
	}
}

// bound is where a static listener is bound.
func bound(c Config, port int) object {
	address := object{"address": c.Listen, "port_value": port}
	if c.DualStack && c.Listen == "::" {
		address["ipv4_compat"] = true
	}
	return object{"socket_address": address}
}

// prometheusListener lets Prometheus read the statistics and nothing else.
func prometheusListener(c Config) object {
	return listener(prometheusName, []object{bound(c, PrometheusPort)}, nil, []any{
		object{"match": get(PrometheusPath), "route": object{"cluster": adminName, "timeout": "30s"}},
	})
}

// readinessListener answers readiness probes, and programs of the pod that wait for
// the proxy: they ask on loopback. While the pod ends, it is not ready: load balancers
// that ask here stop to send.
func readinessListener(c Config) object {
	addresses := []object{bound(c, ReadinessPort)}
	if isPlaceholder(c.Listen) {
		addresses = append(addresses, socket("127.0.0.1", ReadinessPort))
	}
	draining := get(ReadinessPath)
	draining["runtime_fraction"] = object{"runtime_key": DrainingKey, "default_value": object{"numerator": 0, "denominator": "HUNDRED"}}
	return listener(readinessName, addresses, nil, []any{
		object{"match": draining, "direct_response": object{"status": 503, "body": object{"inline_string": "DRAINING\n"}}},
		object{"match": get(ReadinessPath), "route": object{"cluster": adminName, "prefix_rewrite": "/ready", "timeout": "5s"}},
	})
}

// seconds is google.protobuf.Duration in JSON.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
