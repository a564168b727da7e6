package telemetry

import (
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// Unknown is the value of labels of which nothing is known.
const Unknown = "unknown"

// The names under which clusters and endpoints tell what they stand for.
const (
	ofEndpoint = "%METADATA(UPSTREAM_HOST:" + resource.TransportSocketMatch + ":"
	ofCluster  = "%METADATA(CLUSTER:" + resource.MeshMetadata + ":"
)

func tag(name, format string) *statsv3.Config_Tag {
	return &statsv3.Config_Tag{Name: name, ValueFormat: format}
}

// standardTags are Istio's standard labels.
func (r Report) standardTags() []*statsv3.Config_Tag {
	if r.client() {
		return append(append(append([]*statsv3.Config_Tag{tag("reporter", "source")}, r.callerItself()...), r.serverSeenByCaller()...), r.exchange()...)
	}
	return append(append(append([]*statsv3.Config_Tag{tag("reporter", "destination")}, r.callerSeenByServer()...), r.serverItself()...), r.exchange()...)
}

// callerItself is what the proxy knows about its own workload.
func (r Report) callerItself() []*statsv3.Config_Tag {
	principal := orUnknown("source_principal", "%UPSTREAM_LOCAL_URI_SAN%")
	if r.to.nobody != "" { // where no certificate is shown
		principal = tag(principal.Name, Unknown)
	}
	tags := []*statsv3.Config_Tag{principal}
	for _, name := range []string{"source_workload", "source_workload_namespace", "source_app", "source_version", "source_canonical_service", "source_canonical_revision"} {
		tags = append(tags, tag(name, fact(name)))
	}
	return tags
}

// serverSeenByCaller takes what is known of the server from the endpoint and the cluster.
// A request that reaches no endpoint has no value for its workload: rules that put a word
// there would make each listener half as large again.
func (r Report) serverSeenByCaller() []*statsv3.Config_Tag {
	server := func(name, field string) *statsv3.Config_Tag {
		switch {
		case r.to.nobody != "":
			return tag(name, Unknown)
		case r.to.described:
			return tag(name, ofEndpoint+field+")%")
		}
		return tag(name, ofCluster+ofAll(field)+")%"+ofEndpoint+field+")%") // one of the two has a value
	}
	service := func(name, field string) *statsv3.Config_Tag { return tag(name, ofCluster+field+")%") }
	principal := orUnknown("destination_principal", "%UPSTREAM_PEER_URI_SAN%")
	if r.to.nobody != "" {
		principal = tag(principal.Name, Unknown)
		service = func(name, field string) *statsv3.Config_Tag {
			if field == "name" {
				return tag(name, literal(r.to.nobody))
			}
			return tag(name, Unknown)
		}
	}
	return []*statsv3.Config_Tag{
		server("destination_workload", "workload"),
		server("destination_workload_namespace", "namespace"),
		principal,
		server("destination_app", "app"),
		server("destination_version", "version"),
		server("destination_canonical_service", "service"),
		server("destination_canonical_revision", "revision"),
		service("destination_service", "host"),
		service("destination_service_name", "name"),
		service("destination_service_namespace", "namespace"),
	}
}

// ofAll is the name in a cluster's metadata of what is so of all its endpoints.
func ofAll(field string) string { return field + "s" }

// UnknownServer says in a cluster's metadata, as names and values in turn, that nothing is
// known of its endpoints, which are those that clients ask for.
func UnknownServer() (pairs []string) {
	for _, field := range []string{"workload", "namespace", "app", "version", "service", "revision"} {
		pairs = append(pairs, ofAll(field), Unknown)
	}
	return pairs
}

// callerSeenByServer is what the caller's certificate tells. Nothing that a
// caller could send is believed.
func (r Report) callerSeenByServer() (tags []*statsv3.Config_Tag) {
	for _, name := range []string{"source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version", "source_canonical_service", "source_canonical_revision"} {
		if r.MutualTLS {
			tags = append(tags, tag(name, fact(name)))
		} else {
			tags = append(tags, tag(name, Unknown))
		}
	}
	return tags
}

// serverItself is known when the configuration is made.
func (r Report) serverItself() []*statsv3.Config_Tag {
	w, s := r.Local, r.Service
	principal := Unknown
	if r.MutualTLS {
		principal = "%DOWNSTREAM_LOCAL_URI_SAN%"
	}
	host, name, namespace := Unknown, Unknown, Unknown
	if s != nil {
		host, name, namespace = s.Host, s.Name, s.Namespace
	}
	tags := []*statsv3.Config_Tag{}
	if w != nil {
		tags = append(tags,
			tag("destination_workload", literal(w.Workload)),
			tag("destination_workload_namespace", literal(w.Namespace)),
			tag("destination_principal", principal),
			tag("destination_app", literal(w.App)),
			tag("destination_version", literal(w.Version)),
			tag("destination_canonical_service", literal(w.CanonicalName)),
			tag("destination_canonical_revision", literal(w.CanonicalRevision)),
		)
	}
	return append(tags,
		tag("destination_service", literal(host)),
		tag("destination_service_name", literal(name)),
		tag("destination_service_namespace", literal(namespace)),
	)
}

// exchange is about the request or connection itself.
func (r Report) exchange() []*statsv3.Config_Tag {
	security := Unknown // callers cannot tell, in Istio's words
	if !r.client() {
		security = "none"
		if r.MutualTLS {
			security = "mutual_tls"
		}
	}
	tags := []*statsv3.Config_Tag{}
	if r.http {
		tags = append(tags,
			requestProtocol(),
			tag("response_code", "%RESPONSE_CODE%"),
			tag("grpc_response_status", "%GRPC_STATUS_NUMBER%"),
		)
	} else {
		tags = append(tags, tag("request_protocol", "tcp"))
	}
	return append(tags, tag("response_flags", "%RESPONSE_FLAGS%"), tag("connection_security_policy", security))
}

// literal writes a text so that it stands for itself in a format.
func literal(s string) string {
	if s == "" {
		return Unknown
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if out = append(out, s[i]); s[i] == '%' {
			out = append(out, '%')
		}
	}
	return string(out)
}
