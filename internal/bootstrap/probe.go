package bootstrap

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ProbeKind says how the application is asked.
type ProbeKind string

// The kinds of probes, as in Kubernetes' ProbeHandler, except exec, which needs
// no network.
const (
	ProbeHTTP  ProbeKind = "http"
	ProbeHTTPS ProbeKind = "https" // the certificate is not verified, as the kubelet does not
	ProbeTCP   ProbeKind = "tcp"
	ProbeGRPC  ProbeKind = "grpc"
)

// Probe serves one probe of the application on ProbePort, in plaintext, from
// outside the mesh: a GET of Path answers 2xx when the application is well.
//
// HTTP probes pass through to exactly one path of the application. For TCP and
// gRPC Envoy itself checks the application every Period and GET Path answers
// 200 or 503 by the last result.
type Probe struct {
	// Path on ProbePort, such as /app-health/web/readyz. Unique within a Config.
	Path string
	// Kind says how to ask.
	Kind ProbeKind
	// Port of the application, on Config.IP.
	Port uint16
	// Target is the path and query for HTTP, the service name for gRPC.
	Target string
	// KeepHost leaves the Host header as the prober sent it. Otherwise it is IP:Port.
	KeepHost bool
	// Timeout of one check. Zero: 1s.
	Timeout time.Duration
	// Period between checks of TCP and gRPC. Zero: 10s.
	Period time.Duration
}

// cluster is the name of the static cluster behind p. Probes that ask the same
// share it.
func (p Probe) cluster() string {
	name := probeName + "|" + string(p.Kind) + "|" + strconv.Itoa(int(p.Port))
	if p.Kind == ProbeGRPC {
		name += "|" + p.Target
	}
	return name
}

func (p Probe) complete() (Probe, error) {
	if !strings.HasPrefix(p.Path, "/") {
		return p, fmt.Errorf("probe path %q: must begin with a slash", p.Path)
	}
	if p.Port == 0 {
		return p, fmt.Errorf("probe %s: the application's port is missing", p.Path)
	}
	switch p.Kind {
	case ProbeHTTP, ProbeHTTPS:
		if !strings.HasPrefix(p.Target, "/") {
			p.Target = "/" + p.Target // as the kubelet does
		}
	case ProbeTCP, ProbeGRPC:
	default:
		return p, fmt.Errorf("probe %s: kind %q: want http, https, tcp or grpc", p.Path, p.Kind)
	}
	if p.Timeout <= 0 {
		p.Timeout = time.Second
	}
	if p.Period <= 0 {
		p.Period = 10 * time.Second
	}
	return p, nil
}

// probes returns the clusters and, if there are any probes, the listener for them.
func probes(c Config) (clusters, listeners []any, err error) {
	if len(c.Probes) == 0 {
		return nil, nil, nil
	}
	known := map[string]bool{}
	paths := map[string]bool{}
	var routes, filters []any
	for _, p := range c.Probes {
		p, err := p.complete()
		if err != nil {
			return nil, nil, err
		}
		if paths[p.Path] {
			return nil, nil, fmt.Errorf("probe path %q is there twice", p.Path)
		}
		paths[p.Path] = true
		if !known[p.cluster()] {
			known[p.cluster()] = true
			clusters = append(clusters, probeCluster(c, p))
		}
		if p.Kind == ProbeTCP || p.Kind == ProbeGRPC {
			filters = append(filters, healthFilter(p))
		} else {
			routes = append(routes, probeRoutes(c, p)...)
		}
	}
	return clusters, []any{listener(probeName, []object{bound(c, ProbePort)}, filters, routes)}, nil
}

// probeRoutes pass one path on. The application sees the Host that the kubelet would
// have sent it: an IPv6 address in brackets. Of a placeholder nobody knows the family
// yet; the kubelet's own Host tells.
func probeRoutes(c Config, p Probe) []any {
	route := func(match object, host string) object {
		action := object{"cluster": p.cluster(), "prefix_rewrite": p.Target, "timeout": seconds(p.Timeout)}
		if host != "" {
			action["host_rewrite_literal"] = host
		}
		// A redirect's target would lead the kubelet to ProbePort again; without it the
		// redirect itself counts as success.
		return object{"match": match, "route": action, "response_headers_to_remove": []any{"location"}}
	}
	if p.KeepHost {
		return []any{route(get(p.Path), "")}
	}
	plain := route(get(p.Path), hostPort(c.IP, c.IPv6, p.Port))
	if !isPlaceholder(c.IP) || c.IPv6 {
		return []any{plain}
	}
	brackets := get(p.Path)
	brackets["headers"] = append(brackets["headers"].([]any), object{"name": ":authority", "string_match": object{"prefix": "["}})
	return []any{route(brackets, hostPort(c.IP, true, p.Port)), plain}
}

// healthFilter answers from the state of the active health check.
func healthFilter(p Probe) object {
	return filter("envoy.filters.http.health_check", "extensions.filters.http.health_check.v3.HealthCheck", object{
		"pass_through_mode":               false,
		"headers":                         []any{object{"name": ":path", "string_match": object{"exact": p.Path}}},
		"cluster_min_healthy_percentages": object{p.cluster(): object{"value": 100}},
	})
}

// probeCluster reaches the application from 127.0.0.6 (or ::6), the address by
// which traffic capture knows what must go to the application as it is.
func probeCluster(c Config, p Probe) object {
	name := p.cluster()
	cluster := object{
		"name": name, "type": "STATIC", "connect_timeout": seconds(p.Timeout),
		"load_assignment": assignment(name, socket(c.IP, int(p.Port))),
		"upstream_bind_config": object{
			"source_address":         object{"address": "127.0.0.6", "port_value": 0},
			"extra_source_addresses": []any{object{"address": object{"address": "::6", "port_value": 0}}},
		},
		// A kept connection would outlive the application's restart and fail a probe.
		"typed_extension_protocol_options": object{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                        typeURL("extensions.upstreams.http.v3.HttpProtocolOptions"),
				"common_http_protocol_options": object{"max_requests_per_connection": 1},
				"explicit_http_config":         object{"http_protocol_options": object{}},
			},
		},
	}
	switch p.Kind {
	case ProbeHTTPS:
		cluster["transport_socket"] = filter("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", nil)
	case ProbeTCP:
		cluster["health_checks"] = []any{check(p, "tcp_health_check", object{})}
	case ProbeGRPC:
		cluster["health_checks"] = []any{check(p, "grpc_health_check", object{"service_name": p.Target, "authority": hostPort(c.IP, c.IPv6, p.Port)})}
		cluster["typed_extension_protocol_options"] = object{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                typeURL("extensions.upstreams.http.v3.HttpProtocolOptions"),
				"explicit_http_config": object{"http2_protocol_options": object{}},
			},
		}
	}
	return cluster
}

// check is envoy.config.core.v3.HealthCheck. The kubelet counts failures, so
// here one result decides; while the application is down it is asked each second.
func check(p Probe, kind string, config object) object {
	return object{
		"timeout": seconds(p.Timeout), "interval": seconds(p.Period), "no_traffic_interval": seconds(p.Period),
		"unhealthy_interval": "1s", "no_traffic_healthy_interval": seconds(p.Period),
		"healthy_threshold": 1, "unhealthy_threshold": 1,
		kind: config,
	}
}

// hostPort is net.JoinHostPort for a placeholder, too.
func hostPort(ip string, v6 bool, port uint16) string {
	if v6 {
		ip = "[" + ip + "]"
	}
	return ip + ":" + strconv.Itoa(int(port))
}
