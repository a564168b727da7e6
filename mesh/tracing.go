package mesh

import (
	"net"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ProxyTracer is the name of the tracer of MeshConfig.defaultConfig.tracing,
// which is not a provider and so has none. No provider may be named so.
const ProxyTracer = ""

// Tracer is where spans or access logs are sent to.
type Tracer struct {
	Provider *meshconfig.MeshConfig_ExtensionProvider
	Host     string
	Port     uint32
}

// address is what the providers that send to a service have in common.
type address interface {
	GetService() string
	GetPort() uint32
}

// tracerAt is the provider with the address that it names; false when it lacks a service
// or a port.
func tracerAt(p *meshconfig.MeshConfig_ExtensionProvider, to address) (Tracer, bool) {
	host := to.GetService()
	if _, h, ok := strings.Cut(host, "/"); ok { // "namespace/host"
		host = h
	}
	return Tracer{p, strings.ToLower(host), to.GetPort()}, host != "" && to.GetPort() != 0
}

// Tracer finds the provider of a name that spans can be sent to; false when
// the mesh configuration has none with a service and a port.
func (c *Config) Tracer(name string) (Tracer, bool) {
	if name == ProxyTracer {
		return c.proxyTracer()
	}
	for _, p := range c.GetExtensionProviders() {
		if !strings.EqualFold(p.GetName(), name) {
			continue
		}
		var to address
		switch kind := p.GetProvider().(type) {
		case *meshconfig.MeshConfig_ExtensionProvider_Zipkin:
			to = kind.Zipkin
		case *meshconfig.MeshConfig_ExtensionProvider_Opentelemetry:
			to = kind.Opentelemetry
		case *meshconfig.MeshConfig_ExtensionProvider_Skywalking:
			to = kind.Skywalking
		case *meshconfig.MeshConfig_ExtensionProvider_Datadog:
			to = kind.Datadog
		default:
			return Tracer{}, false
		}
		return tracerAt(p, to)
	}
	return Tracer{}, false
}

// proxyTracer is what MeshConfig.defaultConfig.tracing says, as a provider.
func (c *Config) proxyTracer() (Tracer, bool) {
	t := c.GetDefaultConfig().GetTracing()
	if !c.GetEnableTracing() {
		return Tracer{}, false
	}
	p := &meshconfig.MeshConfig_ExtensionProvider{}
	address := t.GetZipkin().GetAddress()
	if address != "" {
		p.Provider = &meshconfig.MeshConfig_ExtensionProvider_Zipkin{Zipkin: &meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider{}}
	} else if address = t.GetDatadog().GetAddress(); address != "" {
		p.Provider = &meshconfig.MeshConfig_ExtensionProvider_Datadog{Datadog: &meshconfig.MeshConfig_ExtensionProvider_DatadogTracingProvider{}}
	}
	host, text, err := net.SplitHostPort(address)
	port, notNumber := strconv.ParseUint(text, 10, 16)
	if err != nil || notNumber != nil || host == "" || port == 0 {
		return Tracer{}, false
	}
	return Tracer{p, completedHost(strings.ToLower(host)), uint32(port)}, true
}

// completedHost completes an address that the resolver of a Pod would
// complete: "zipkin.istio-system" or "zipkin.istio-system.svc".
func completedHost(host string) string {
	switch {
	case strings.HasSuffix(host, ".svc"):
		return host + "." + object.Domain
	case strings.Count(host, ".") == 1:
		return host + ".svc." + object.Domain
	}
	return host
}

// TracerNames are the providers that the Telemetry objects and the defaults of
// the mesh name for tracing, each once.
func (c *Config) TracerNames(telemetries []*Telemetry) []string {
	names := []string{ProxyTracer}
	add := func(name string) {
		for _, n := range names {
			if n == name {
				return
			}
		}
		names = append(names, name)
	}
	for _, n := range c.GetDefaultProviders().GetTracing() {
		add(n)
	}
	for _, t := range telemetries {
		for _, e := range t.Spec.GetTracing() {
			for _, p := range e.GetProviders() {
				add(p.GetName())
			}
		}
	}
	return names
}

// Tracers are the services that a proxy of the view sends spans and access logs to, as
// far as it sees them.
func (v *View) Tracers(telemetries []*Telemetry) List[Backend] {
	var out backends
	out.addTracers(v, telemetries)
	return ListOf(out...)
}

// backends gathers Backends, each once.
type backends []Backend

func (b *backends) add(v *View, host string, port uint32) {
	s, _ := v.Service(host)
	if s == nil || s.Alias != "" || s.Port(port) == nil { // an alias has no cluster of its own
		return
	}
	for _, have := range *b {
		if have == (Backend{s, port}) {
			return
		}
	}
	*b = append(*b, Backend{s, port})
}

func (b *backends) addTracers(v *View, telemetries []*Telemetry) {
	for _, name := range v.Config.TracerNames(telemetries) {
		if t, ok := v.Config.Tracer(name); ok {
			b.add(v, t.Host, t.Port)
		}
	}
	for _, name := range v.Config.LogNames(telemetries) {
		if t, ok := v.Config.LogCollector(name); ok {
			b.add(v, t.Host, t.Port)
		}
	}
}

// tracerChanged tells whether the host of any tracer or collector of access logs did.
func (b *builder) tracerChanged(changed func(host string) bool) bool {
	all := slices.Collect(b.world.Telemetries.All())
	for _, name := range b.world.Config.TracerNames(all) {
		if t, ok := b.world.Config.Tracer(name); ok && changed(t.Host) {
			return true
		}
	}
	for _, name := range b.world.Config.LogNames(all) {
		if t, ok := b.world.Config.LogCollector(name); ok && changed(t.Host) {
			return true
		}
	}
	return false
}
