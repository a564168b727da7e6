package bootstrap

// typeURL is the @type of a message of Envoy's API.
func typeURL(message string) string { return "type.googleapis.com/envoy." + message }

// filter is an extension with its configuration.
func filter(name, message string, config object) object {
	typed := object{"@type": typeURL(message)}
	for k, v := range config {
		typed[k] = v
	}
	return object{"name": name, "typed_config": typed}
}

// socket is envoy.config.core.v3.Address.
func socket(address string, port int) object {
	return object{"socket_address": object{"address": address, "port_value": port}}
}

// pipe is an envoy.config.core.v3.Address in the abstract unix namespace, which
// belongs to the network namespace, so to the pod.
func pipe(name string) object { return object{"pipe": object{"path": "@" + name}} }

// assignment is the endpoint of a static cluster.
func assignment(cluster string, address object) object {
	return object{"cluster_name": cluster, "endpoints": []any{
		object{"lb_endpoints": []any{object{"endpoint": object{"address": address}}}},
	}}
}

// listener is a static HTTP listener with one virtual host for any domain.
func listener(name string, addresses []object, filters []any, routes []any) object {
	// The application is asked as the kubelet would ask it: without headers of ours.
	router := filter("envoy.filters.http.router", "extensions.filters.http.router.v3.Router", object{"suppress_envoy_headers": true})
	out := object{
		"name":    name,
		"address": addresses[0],
		// These carry the kubelet's and Prometheus's requests: they must work
		// when the application's connections use up the limit.
		"ignore_global_conn_limit": true,
		"filter_chains": []any{object{"filters": []any{
			filter("envoy.filters.network.http_connection_manager", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", object{
				"stat_prefix":  name,
				"codec_type":   "AUTO",
				"http_filters": append(filters, router),
				"route_config": object{
					"name":              name,
					"validate_clusters": false,
					"virtual_hosts": []any{object{
						"name": name, "domains": []any{"*"}, "routes": routes,
						"request_headers_to_remove": []any{"x-forwarded-proto", "x-request-id"},
					}},
				},
			}),
		}}},
	}
	var more []any
	for _, a := range addresses[1:] {
		more = append(more, object{"address": a})
	}
	if more != nil {
		out["additional_addresses"] = more
	}
	return out
}

// get matches GET (and HEAD's answer is Envoy's own) of exactly one path.
func get(path string) object {
	return object{"path": path, "headers": []any{
		object{"name": ":method", "string_match": object{"exact": "GET"}},
	}}
}
