package mesh

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// unreadConfig are the fields of MeshConfig that nothing follows, by their paths, with
// what happens instead and what to do. A test holds that every field of MeshConfig, of
// its defaultConfig and of the proxyHeaders of that is either here or in readConfig.
var unreadConfig = map[string]string{
	"proxyListenPort":             "proxies capture outgoing connections on port 15001; take the field out",
	"proxyInboundListenPort":      "proxies capture incoming connections on port 15006; take the field out",
	"proxyHttpPort":               "proxies open no port for applications that are set to use an HTTP proxy; let connections be captured, or give a Sidecar an egress listener of protocol HTTP_PROXY",
	"hboneIdleTimeout":            "proxies speak no HBONE; take the field out",
	"enableEnvoyAccessLogService": "no access logs are sent by it; name an envoyHttpAls, envoyTcpAls or envoyOtelAls provider in a Telemetry",
	"disableEnvoyListenerLog":     "listeners log by the Telemetry objects alone; take the field out",
	"configSources":               "configuration is read from this cluster, or from the directory of --config; take the field out",
	"inboundClusterStatName":      "clusters have the names of Istio's defaults in metrics; take the field out",
	"outboundClusterStatName":     "clusters have the names of Istio's defaults in metrics; take the field out",
	"certificates":                "no DNS certificates are made; take the field out",
	"serviceScopeConfigs":         "the mesh is one cluster, of which every service is local; take the field out",
	"enablePrometheusMerge":       "metrics of applications are scraped at the applications; take the field out",
	"ca":                          "certificates are signed by the control plane itself; take the field out, or give it an authority in the Secret cacerts",
	"caCertificates":              "proxies trust the roots of the control plane alone; put further roots into the Secret cacerts",
	"zoneAwareLbSetting":          "zone-aware balancing is not there; use localityLbSetting",
	"serviceEntryVisibility":      "ServiceEntries are seen as defaultServiceExportTo says; use that, or exportTo",

	"defaultConfig.configPath":                 pathOfAgent,
	"defaultConfig.binaryPath":                 pathOfAgent,
	"defaultConfig.proxyBootstrapTemplatePath": pathOfAgent,
	"defaultConfig.customConfigFile":           pathOfAgent,
	"defaultConfig.serviceCluster":             "a proxy's cluster is named after its workload; take the field out",
	"defaultConfig.tracingServiceName":         "spans name the service as workload and namespace; take the field out",
	"defaultConfig.drainDuration":              ofDrain,
	"defaultConfig.terminationDrainDuration":   ofDrain,
	"defaultConfig.discoveryAddress":           "proxies connect to the control plane that injected them; take the field out",
	"defaultConfig.discoveryRefreshDelay":      "changes are pushed as they come; take the field out",
	"defaultConfig.zipkinAddress":              "no spans are sent by it; use tracing.zipkin.address, or a provider of extensionProviders",
	"defaultConfig.statsdUdpAddress":           "no metrics are sent to it; scrape port 15090",
	"defaultConfig.envoyMetricsServiceAddress": "no metrics are sent to it; scrape port 15090",
	"defaultConfig.envoyMetricsService":        "no metrics are sent to it; scrape port 15090",
	"defaultConfig.envoyAccessLogService":      "no access logs are sent by it; name an envoyHttpAls, envoyTcpAls or envoyOtelAls provider in a Telemetry",
	"defaultConfig.proxyAdminPort":             "administration is read-only on loopback, port 15000; take the field out",
	"defaultConfig.availabilityZone":           "a proxy's zone is that of its node; take the field out",
	"defaultConfig.controlPlaneAuthPolicy":     "proxies always authenticate to the control plane; take the field out",
	"defaultConfig.statNameLength":             "names in metrics have no such bound; take the field out",
	"defaultConfig.interceptionMode":           "connections are captured by REDIRECT; take the field out",
	"defaultConfig.sds":                        "certificates come over the connection to the control plane; take the field out",
	"defaultConfig.runtimeValues":              "proxies run with the values that the control plane needs; take the field out",
	"defaultConfig.statusPort":                 "readiness is answered on port 15021; take the field out",
	"defaultConfig.extraStatTags":              "metrics have the labels that Telemetry objects give them; use overrides of a Telemetry",
	"defaultConfig.proxyStatsMatcher":          "proxies report the metrics of requests and connections, and few of their own; choose metrics with a Telemetry",
	"defaultConfig.readinessProbe":             "the application is probed as its Pod says; take the field out",
	"defaultConfig.caCertificatesPem":          "proxies trust the roots of the control plane alone; put further roots into the Secret cacerts",
	"defaultConfig.image":                      "proxies are stock Envoys of the image that the installation names; use the annotation sidecar.istio.io/proxyImage for another",
	"defaultConfig.privateKeyProvider":         "keys are used as Envoy does by itself; take the field out",
	"defaultConfig.fileFlushInterval":          ofFlush,
	"defaultConfig.fileFlushMinSizeKb":         ofFlush,
	"defaultConfig.statsCompression":           "metrics are answered as Envoy does by itself; take the field out",
	"defaultConfig.connectionSettings":         "connections have the bounds that DestinationRules give them; use connectionPool",

	"defaultConfig.proxyHeaders.metadataExchangeHeaders": "proxies tell one another nothing about themselves in headers; take the field out",
	"defaultConfig.proxyHeaders.preserveHttp1HeaderCase": "names of headers are sent in lower case, in which they mean the same; take the field out",
	"defaultConfig.proxyHeaders.attemptCount":            "proxies tell servers of no attempts in headers; take the field out",
}

const (
	pathOfAgent = "there is no agent beside the proxy that would read files; take the field out"
	ofDrain     = "proxies drain as long as their Pod ends, terminationGracePeriodSeconds; set that"
	ofFlush     = "access logs are written as Envoy does by itself; take the field out"
)

// readConfig are the fields of MeshConfig that something follows, in whole or, as their
// own checks say, in part.
var readConfig = []string{
	"connectTimeout", "protocolDetectionTimeout", "tcpKeepalive", "ingressClass", "ingressService", "ingressControllerMode", "ingressSelector",
	"enableTracing", "accessLogFile", "accessLogFormat", "accessLogEncoding", "defaultConfig", "outboundTrafficPolicy", "inboundTrafficPolicy",
	"enableAutoMtls", "trustDomain", "trustDomainAliases", "defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo",
	"rootNamespace", "localityLbSetting", "dnsRefreshRate", "h2UpgradePolicy", "verifyCertificateAtClient", "extensionProviders", "defaultProviders",
	"discoverySelectors", "pathNormalization", "defaultHttpRetryPolicy", "defaultInboundHttpRetryPolicy", "meshMTLS", "tlsDefaults", "defaultTrafficPolicy",
	"serviceSettings", // clusterLocal: the mesh is one cluster, in which every service is
	"defaultConfig.concurrency", "defaultConfig.tracing", "defaultConfig.proxyMetadata", "defaultConfig.gatewayTopology", "defaultConfig.meshId",
	"defaultConfig.holdApplicationUntilProxyStarts", "defaultConfig.proxyHeaders",
	"defaultConfig.proxyHeaders.forwardedClientCert", "defaultConfig.proxyHeaders.setCurrentClientCertDetails", "defaultConfig.proxyHeaders.requestId",
	"defaultConfig.proxyHeaders.server", "defaultConfig.proxyHeaders.envoyDebugHeaders",
	"defaultConfig.proxyHeaders.xForwardedHost", "defaultConfig.proxyHeaders.xForwardedPort",
}

// asItIs tells whether the value of a field of unreadConfig asks for what is done anyway.
func asItIs(path string, v protoreflect.Value) bool {
	switch path {
	case "enablePrometheusMerge", "defaultConfig.proxyHeaders.preserveHttp1HeaderCase":
		b, is := v.Message().Interface().(*wrapperspb.BoolValue)
		return is && !b.GetValue()
	case "defaultConfig.proxyHeaders.attemptCount":
		a, is := v.Message().Interface().(*meshconfig.ProxyConfig_ProxyHeaders_AttemptCount)
		return is && a.GetDisabled().GetValue()
	}
	return false
}

// checkUnread tells of the fields that are given and that nothing follows.
func (c *Config) checkUnread(given protoreflect.Message) (findings []object.Finding) {
	var look func(at string, m protoreflect.Message)
	look = func(at string, m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			path := at + f.JSONName()
			if path == "defaultConfig" || path == "defaultConfig.proxyHeaders" {
				look(path+".", v.Message())
			}
			if instead, unread := unreadConfig[path]; unread && !asItIs(path, v) {
				findings = append(findings, object.Finding{Object: c.Ref, Field: path, Code: object.CodeUnsupported, Message: "the field is not acted upon: " + instead})
			}
			return true
		})
	}
	look("", given)
	slices.SortFunc(findings, func(a, b object.Finding) int { return cmp.Compare(a.Field, b.Field) })
	return findings
}
