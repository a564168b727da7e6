package bootstrap

import (
	"net/netip"
	"path"
)

// dynamicResources asks for clusters and listeners over one ADS stream. Without
// a fetch timeout Envoy does not report itself ready before both have come.
func dynamicResources(c Config) object {
	source := object{"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	api := "DELTA_GRPC"
	if c.StateOfTheWorld {
		api = "GRPC"
	}
	return object{
		"ads_config": object{
			"api_type":                       api,
			"transport_api_version":          "V3",
			"set_node_on_first_message_only": true,
			"grpc_services": []any{object{"envoy_grpc": object{
				"cluster_name": XDSCluster,
				"retry_policy": object{"retry_back_off": object{"base_interval": "0.5s", "max_interval": "1s"}},
			}}},
		},
		"cds_config": source,
		"lds_config": source,
	}
}

// layeredRuntime has room for regular expressions that are longer than Envoy
// allows by itself, and a layer of the control plane's. One that does not know
// the layer delays the start by a second.
func layeredRuntime() object {
	return object{"layers": []any{
		object{"name": "static", "static_layer": object{"re2": object{"max_program_size": object{"error_level": 5000}}}},
		object{"name": RuntimeLayer, "rtds_layer": object{"name": RuntimeLayer, "rtds_config": object{
			"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "1s",
		}}},
	}}
}

// xdsCluster is where the control plane is, under a name.
func xdsCluster(c Config, name string) (object, error) {
	host, port, err := splitXDS(c.XDSAddress)
	if err != nil {
		return nil, err
	}
	protocol := object{
		"@type": typeURL("extensions.upstreams.http.v3.HttpProtocolOptions"),
		"explicit_http_config": object{"http2_protocol_options": object{
			"connection_keepalive": object{"interval": "30s", "timeout": "10s"},
		}},
	}
	cluster := object{
		"name":            name,
		"connect_timeout": "1s",
		"load_assignment": assignment(name, socket(host, port)),
		"typed_extension_protocol_options": object{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol,
		},
		"upstream_connection_options": object{"tcp_keepalive": object{"keepalive_time": 300}},
		// One stream, but a control plane's restart must never meet a breaker.
		"circuit_breakers": object{"thresholds": []any{
			object{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000},
			object{"priority": "HIGH", "max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000},
		}},
	}
	if _, err := netip.ParseAddr(host); err == nil {
		cluster["type"] = "STATIC"
	} else {
		// The successor of type STRICT_DNS, whose own fields are deprecated.
		cluster["cluster_type"] = filter("envoy.cluster.dns", "extensions.clusters.dns.v3.DnsCluster", object{
			"dns_lookup_family":        "ALL",
			"dns_refresh_rate":         "5s",
			"dns_failure_refresh_rate": object{"base_interval": "0.5s", "max_interval": "5s"},
		})
	}
	if !c.Plaintext {
		protocol["http_filters"] = tokenFilters(c)
		cluster["transport_socket"] = xdsTLS(c, host)
	}
	return cluster, nil
}

// tokenFilters put the token into each stream's authorization header. The token
// is read by file SDS, the only variant that follows its rotation.
func tokenFilters(c Config) []any {
	return []any{
		filter("envoy.filters.http.credential_injector", "extensions.filters.http.credential_injector.v3.CredentialInjector", object{
			"overwrite": true,
			"credential": filter("envoy.http.injected_credentials.generic", "extensions.http.injected_credentials.generic.v3.Generic", object{
				"header":              "authorization",
				"header_value_prefix": "Bearer ",
				"credential":          fileSecret(c, tokenSecret, TokenSDSFile),
			}),
		}),
		filter("envoy.filters.http.upstream_codec", "extensions.filters.http.upstream_codec.v3.UpstreamCodec", nil),
	}
}

// xdsTLS accepts only a server that bears host's name, signed by an authority
// of the mounted file. Both ends are ours, so nothing older than TLS 1.3.
func xdsTLS(c Config, host string) object {
	kind := "DNS"
	if _, err := netip.ParseAddr(host); err == nil {
		kind = "IP_ADDRESS"
	}
	common := object{
		"alpn_protocols": []any{"h2"},
		"tls_params":     object{"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
		"combined_validation_context": object{
			"default_validation_context": object{"match_typed_subject_alt_names": []any{
				object{"san_type": kind, "matcher": object{"exact": host}},
			}},
			"validation_context_sds_secret_config": fileSecret(c, authoritySecret, AuthoritySDSFile),
		},
	}
	context := object{"common_tls_context": common}
	if kind == "DNS" {
		context["sni"] = host
	}
	return filter("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", context)
}

// fileSecret refers to a secret in a file next to the token.
func fileSecret(c Config, name, file string) object {
	return object{"name": name, "sds_config": object{
		"resource_api_version": "V3",
		"path_config_source": object{
			"path":              path.Join(c.CredentialDir, file),
			"watched_directory": object{"path": c.CredentialDir},
		},
	}}
}
