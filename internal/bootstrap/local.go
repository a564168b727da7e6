package bootstrap

import (
	"strconv"
	"time"
)

// Names of static clusters and listeners.
const (
	adminName      = "prometheus_stats" // as Istio's, so that tools leave it out
	readinessName  = "agent"            // as Istio's
	drainName      = "drain"
	probeName      = "probes"
	prometheusName = "prometheus"
)

// adminCluster is Envoy's own admin interface.
func adminCluster() object {
	return object{
		"name": adminName, "type": "STATIC", "connect_timeout": "0.25s",
		"load_assignment": assignment(adminName, socket("127.0.0.1", AdminPort)),
	}
}

// prometheusListener lets Prometheus read the statistics and nothing else.
func prometheusListener(c Config) object {
	return listener(prometheusName, socket(c.Listen, PrometheusPort), nil, []any{
		object{"match": get(PrometheusPath), "route": object{"cluster": adminName, "timeout": "30s"}},
	})
}

// readinessListener answers readiness probes and takes the preStop hook.
func readinessListener(c Config) object {
	drain := "/drain_listeners?graceful&skip_exit"
	if c.Role == Sidecar {
		drain = "/drain_listeners?graceful&skip_exit&inboundonly"
	}
	return listener(readinessName, socket(c.Listen, ReadinessPort), []any{postFilter()}, []any{
		object{
			"match": get(ReadinessPath),
			"route": object{"cluster": adminName, "prefix_rewrite": "/ready", "timeout": "5s"},
		},
		object{
			"match": get(DrainPath),
			// The copy of the request goes to the admin interface at once; the
			// request itself waits in drainListener and gives the answer.
			"route": object{
				"cluster": drainName, "prefix_rewrite": drain, "timeout": seconds(c.DrainWait + 10*time.Second),
				"request_mirror_policies": []any{object{"cluster": adminName}},
			},
			"typed_per_filter_config": object{luaFilter: object{
				"@type":       typeURL("extensions.filters.http.lua.v3.LuaPerRoute"),
				"source_code": object{"inline_string": postInstead},
			}},
		},
	})
}

const luaFilter = "envoy.filters.http.lua"

// postInstead turns the hook's GET into the POST that the admin interface
// insists on. No other filter of stock Envoy may change the method.
const postInstead = `function envoy_on_request(h) h:headers():replace(":method", "POST") end`

// postFilter makes the route of before the change stand, which matches GET.
func postFilter() object {
	return filter(luaFilter, "extensions.filters.http.lua.v3.Lua", object{"clear_route_cache": false})
}

// drainCluster leads to drainListener.
func drainCluster() object {
	return object{
		"name": drainName, "type": "STATIC", "connect_timeout": "0.25s",
		"load_assignment": assignment(drainName, pipe("fairway-drain")),
	}
}

// drainListener answers after Config.DrainWait.
func drainListener(c Config) object {
	var filters []any
	if c.DrainWait > 0 {
		filters = []any{filter("envoy.filters.http.fault", "extensions.filters.http.fault.v3.HTTPFault", object{
			"delay": object{"fixed_delay": seconds(c.DrainWait), "percentage": object{"numerator": 100}},
		})}
	}
	return listener(drainName, pipe("fairway-drain"), filters, []any{
		object{"match": object{"prefix": "/"}, "direct_response": object{"status": 200}},
	})
}

// seconds is google.protobuf.Duration in JSON.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
