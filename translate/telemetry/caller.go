package telemetry

import (
	"cmp"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"

	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// CallerName is the name of the network filter, and of the ECDS resource, that
// tells the metrics of outbound connections which workload the proxy is of.
const CallerName = "fairway.caller"

// Caller is the workload that a proxy is of, in the words of the labels that
// begin with source_. It can be compared.
type Caller struct {
	Workload, Namespace, App, Version string
	// CanonicalName and CanonicalRevision are Istio's, as registry.Workload has them.
	CanonicalName, CanonicalRevision string
}

// maxName is more than any name or value of a label in Kubernetes takes, in bytes.
const maxName = 253

// CallerOf is the caller that a proxy's node describes: the name of its workload
// and the labels of its pod, as far as it tells them. What is too long for a name
// is unknown.
func CallerOf(workload, namespace string, labels map[string]string) Caller {
	w := registry.Workload{Owner: cmp.Or(named(workload), Unknown), Labels: labels}
	return Caller{
		Workload: w.Owner, Namespace: named(namespace), App: named(labels["app"]), Version: named(labels["version"]),
		CanonicalName: named(w.CanonicalName()), CanonicalRevision: named(w.CanonicalRevision()),
	}
}

func named(s string) string {
	if len(s) > maxName {
		return ""
	}
	return s
}

// Facts is the ECDS resource for the proxies of the caller. The listeners of a
// scope are shared by all its workloads, and this is what differs between them.
// An expression in each listener could ask the proxy's node; six of them take
// as much memory in every listener as all the rest of it.
func (c Caller) Facts() *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: CallerName, TypedConfig: resource.Pack(&setfilterstatev3.Config{OnNewConnection: []*filterstatev3.FilterStateValue{
		remember("source_workload", literal(c.Workload)),
		remember("source_workload_namespace", literal(c.Namespace)),
		remember("source_app", literal(c.App)),
		remember("source_version", literal(c.Version)),
		remember("source_canonical_service", literal(c.CanonicalName)),
		remember("source_canonical_revision", literal(c.CanonicalRevision)),
	}})}
}

// callerFilter is the place for Facts. A new listener waits for them, which
// Envoy has from the first one on; if they do not come, it counts without them.
func callerFilter() *listenerv3.Filter {
	nothing := resource.Pack(&setfilterstatev3.Config{})
	return &listenerv3.Filter{Name: CallerName, ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: resource.ADS(), DefaultConfig: nothing, TypeUrls: []string{nothing.TypeUrl},
	}}}
}
