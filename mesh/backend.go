package mesh

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Backend is a port of a service that proxies call for themselves: to have a
// request authorized, to fetch the keys of tokens, to report spans.
type Backend struct {
	Service *registry.Service
	Port    uint32 // of Service.Ports
}

// BackendOf finds the backend of the list with the host and port.
func BackendOf(l List[Backend], host string, port uint32) (Backend, bool) {
	for _, b := range l.Slice() {
		if b.Service.Host == host && b.Port == port {
			return b, true
		}
	}
	return Backend{}, false
}

// Backends are the services that the policies make a proxy of the view call
// and that it sees: those of the extension providers that CUSTOM policies and
// tracing name, and those of jwksUri.
func (v *View) Backends(authentications []*RequestAuthentication, policies []*AuthorizationPolicy, telemetries []*Telemetry) List[Backend] {
	var out backends
	for _, p := range policies {
		if name := p.Spec.GetProvider().GetName(); name != "" {
			if host, port, ok := v.Config.AuthorizationBackend(name); ok {
				out.add(v, host, port)
			}
		}
	}
	for _, r := range authentications {
		for _, rule := range r.Spec.GetJwtRules() {
			if host, port, _, ok := KeysAddress(rule.GetJwksUri()); ok {
				out.add(v, host, port)
			}
		}
	}
	out.addTracers(v, telemetries)
	return ListOf(out...)
}

// AuthorizationBackend is the host and port of an external authorization
// provider of the mesh configuration; false when there is none of the name.
func (c *Config) AuthorizationBackend(provider string) (host string, port uint32, ok bool) {
	for _, p := range c.GetExtensionProviders() {
		if p.GetName() != provider {
			continue
		}
		service, port := p.GetEnvoyExtAuthzHttp().GetService(), p.GetEnvoyExtAuthzHttp().GetPort()
		if g := p.GetEnvoyExtAuthzGrpc(); g != nil {
			service, port = g.GetService(), g.GetPort()
		}
		if _, h, ok := strings.Cut(service, "/"); ok { // "namespace/host"
			service = h
		}
		return strings.ToLower(service), port, service != "" && port != 0
	}
	return "", 0, false
}

// KeysAddress is where a jwksUri leads to; false when it is no http or https
// URL with a host.
func KeysAddress(uri string) (host string, port uint32, tls, ok bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", 0, false, false
	}
	port = 80
	if u.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return "", 0, false, false
		}
		port = uint32(n)
	}
	return strings.ToLower(u.Hostname()), port, u.Scheme == "https", true
}

// dirtyBackends marks what workloads accept when a host changes that their
// policies make them call.
func (b *builder) dirtyBackends() {
	changed := func(host string) bool { return b.dirty.Hosts[host] == TouchHost }
	for _, p := range b.world.Config.GetExtensionProviders() {
		if host, _, ok := b.world.Config.AuthorizationBackend(p.GetName()); ok && changed(host) {
			b.dirty.Inbound[""], b.dirty.Gateways = struct{}{}, true
			break
		}
	}
	if b.tracerChanged(changed) { // outbound listeners name it too
		b.dirty.All = true
	}
	for p := range b.world.RequestAuthentications.All() {
		for _, r := range p.Spec.GetJwtRules() {
			if host, _, _, ok := KeysAddress(r.GetJwksUri()); ok && changed(host) {
				b.dirtyInbound(p.Namespace)
				b.dirty.Gateways = true
			}
		}
	}
}
