package mesh

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// LogCollector finds the provider of a name that access logs can be sent to (envoyOtelAls,
// envoyHttpAls or envoyTcpAls of MeshConfig.extensionProviders); false when the mesh
// configuration has none with a service and a port.
func (c *Config) LogCollector(name string) (Tracer, bool) {
	for _, p := range c.GetExtensionProviders() {
		if p.GetName() != name {
			continue
		}
		var to address
		switch kind := p.GetProvider().(type) {
		case *meshconfig.MeshConfig_ExtensionProvider_EnvoyOtelAls:
			to = kind.EnvoyOtelAls
		case *meshconfig.MeshConfig_ExtensionProvider_EnvoyHttpAls:
			to = kind.EnvoyHttpAls
		case *meshconfig.MeshConfig_ExtensionProvider_EnvoyTcpAls:
			to = kind.EnvoyTcpAls
		default:
			return Tracer{}, false
		}
		return tracerAt(p, to)
	}
	return Tracer{}, false
}

// LogNames are the providers that the Telemetry objects and the defaults of the mesh name
// for access logs, each once.
func (c *Config) LogNames(telemetries []*Telemetry) []string {
	names := slices.Clone(c.GetDefaultProviders().GetAccessLogging())
	for _, t := range telemetries {
		for _, e := range t.Spec.GetAccessLogging() {
			for _, p := range e.GetProviders() {
				names = append(names, p.GetName())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
