package bootstrap

// ResourceAttributes is the variable by which OpenTelemetry describes what
// reports: "key=value,key=value".
const ResourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"

// Variable is an environment variable of the proxy.
type Variable struct{ Name, Value string }

// Environment is by what tracers name the proxy in spans. Zipkin's and
// SkyWalking's read the node; those of OpenTelemetry and Datadog read it here,
// since listeners are shared by the proxies of many workloads. Values may hold
// the placeholders of c.
func Environment(c Config) []Variable {
	workload := c.Workload
	if workload == "" {
		workload = c.Pod
	}
	service := workload + "." + c.Namespace
	return []Variable{
		{ResourceAttributes, "service.name=" + service},
		{"DD_SERVICE", service},
	}
}
