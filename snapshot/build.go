package snapshot

import (
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate"
)

// encode makes a resource of a message; what cannot be encoded is a finding on
// the objects that it was made of, and no resource.
func encode(t Type, name string, message proto.Message, owners ...object.Ref) (*Resource, []object.Finding) {
	r, err := NewResource(t, name, message, owners...)
	if err != nil {
		return nil, unencoded(err, owners)
	}
	return r, nil
}

// unencoded tells the objects that a resource was made of that it cannot be encoded.
func unencoded(err error, owners []object.Ref) (findings []object.Finding) {
	for _, o := range owners {
		findings = append(findings, object.Finding{Object: o, Code: object.CodeInvalid, Message: err.Error() + "; it is left out"})
	}
	return findings
}

// cluster builds a cluster and, when the control plane knows its endpoints,
// these.
func (m *Memo) cluster(u *uses, in translate.ClusterInput, endpoints *registry.EndpointSet, policies *mesh.View) (out []*Resource, findings []object.Finding) {
	b := m.get(u, in, func() (*Resource, []object.Finding) {
		c, findings := translate.Cluster(in, m.sockets.Load())
		if c == nil {
			return nil, findings
		}
		r, more := encode(Cluster, c.Name, c, owners(in.Service, in.Rule)...)
		if r != nil && c.GetType() == clusterv3.Cluster_EDS && len(r.Needs) == 0 {
			r.Needs = append(r.Needs, Key{Endpoint, c.Name})
		}
		return r, append(findings, more...)
	})
	if b.resource == nil {
		return nil, b.findings
	}
	out = append(out, b.resource)
	if !slices.ContainsFunc(b.resource.Needs, func(k Key) bool { return k.Type == Endpoint }) {
		return out, b.findings
	}
	ein := translate.EndpointsInput{
		Service: in.Service, Port: in.Port, Subset: in.Subset, Rule: in.Rule, Config: in.Config, Endpoints: endpoints,
		Client: in.Client, PeerAuthentications: policies.PeerAuthentications,
	}
	e := m.get(u, ein, func() (*Resource, []object.Finding) {
		return encode(Endpoint, b.resource.Name, translate.Endpoints(ein), owners(in.Service, in.Rule)...)
	})
	if e.resource != nil {
		out = append(out, e.resource)
	}
	return out, b.findings
}

func owners(s *registry.Service, rule *traffic.DestinationRule) []object.Ref {
	var out []object.Ref
	if rule != nil {
		out = append(out, rule.Refs...)
	}
	if s != nil {
		out = append(append(out, s.Ref), s.More...)
	}
	return out
}

// virtualHost builds a virtual host. before are the resources that the host had
// in the layer.
func (m *Memo) virtualHost(u *uses, in translate.VirtualHostInput, before []*Resource) (*Resource, []object.Finding) {
	names := in.Domains.Near
	in.Domains.Near = nil
	r, findings := m.wideHost(u, in)
	if r != nil && len(names) > 0 {
		r = near(r, names, before)
	}
	return r, findings
}

// wideHost builds a virtual host as all see it alike.
func (m *Memo) wideHost(u *uses, in translate.VirtualHostInput) (*Resource, []object.Finding) {
	build := func() (*Resource, []object.Finding) {
		vh, findings := translate.VirtualHost(in)
		var refs []object.Ref
		if vs := in.Route.VirtualService; vs != nil {
			refs = append(refs, vs.Objects()...)
		}
		r, more := encode(VirtualHost, in.Resource(), vh, append(refs, owners(in.Service, nil)...)...)
		return r, append(findings, more...)
	}
	if key, ok := keyOf(in); ok {
		b := m.get(u, key, build)
		return b.resource, b.findings
	}
	r, findings := build()
	if r != nil {
		r = m.intern.Intern(r)
	}
	return r, findings
}

func keyOf(in translate.VirtualHostInput) (virtualHostKey, bool) {
	k := virtualHostKey{
		config: in.Config, name: in.Name, domains: strings.Join(in.Domains.Wide, " "), service: in.Service, port: in.Port, originalDst: in.OriginalDst, beside: in.Beside,
		route: in.Route.VirtualService, source: in.Route.Source, mesh: in.Route.Config,
	}
	if len(in.Route.Destinations) > len(k.destinations) {
		return k, false
	}
	names := make([]string, 0, len(k.destinations))
	for h := range in.Route.Destinations {
		names = append(names, h)
	}
	slices.Sort(names)
	for i, h := range names {
		k.destinations[i] = namedDestination{h, in.Route.Destinations[h]}
	}
	return k, true
}
