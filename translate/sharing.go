package translate

import (
	"fmt"
	"net/netip"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// sharing is how connections to an address and port of several hosts are told
// apart.
type sharing uint8

const (
	sharedNot          sharing = iota // not at all: all go to the owner of the address
	sharedAsOwner                     // the host has the address, and what is meant for nobody else
	sharedByHost                      // requests by their Host, at the listener of all addresses
	sharedByOwnersHost                // requests by their Host, in the route configuration of the owner
	sharedBesideTLS                   // requests without TLS by their Host, at the owner's listener
	sharedByServerName                // TLS by the name that the client asks for
)

// sharing says how the port of the service shares an address with its owner; a
// nil owner is nobody that the view sees. A Service of another namespace shares
// its address with nobody but by HTTP hosts, which tell apart whom clients mean
// wherever they connect.
func (r *resolver) sharing(a netip.Addr, port *registry.Port) (owner *registry.Service, how sharing) {
	name := r.addressOwner(a, port.Number)
	if name == r.service.Host {
		return r.service, sharedAsOwner
	}
	if owner, _ = r.Service(name); owner == nil {
		return nil, sharedNot
	}
	of := owner.Port(port.Number).Protocol
	requests := port.Protocol.IsHTTP() || port.Protocol == object.ProtocolAuto
	switch {
	case of.IsHTTP() && port.Protocol.IsHTTP():
		return owner, sharedByHost
	case owner.Kubernetes() && owner.Namespace != r.service.Namespace:
		return owner, sharedNot
	case of == object.ProtocolAuto && requests:
		return owner, sharedByOwnersHost
	case of.IsTLS() && requests:
		return owner, sharedBesideTLS
	case !of.IsHTTP() && port.Protocol.IsTLS():
		return owner, sharedByServerName
	}
	return owner, sharedNot
}

// shareAddresses serves requests at addresses that another host has, and says
// what the host loses to it.
func (r *resolver) shareAddresses(p *Plan, port *registry.Port) {
	if r.Sidecar.BindOf(port.Number) != (traffic.Bind{}) {
		return
	}
	for _, prefix := range r.service.Addresses {
		if !prefix.IsSingleIP() {
			continue
		}
		owner, how := r.sharing(prefix.Addr(), port)
		lost := ""
		switch how {
		case sharedNot:
			lost = "connections"
		case sharedByOwnersHost:
			r.answers(p, port, hostConfig(owner.Host, port.Number))
		case sharedBesideTLS:
			r.http(p, port, ListenerKey{prefix.Addr().String(), port.Number})
		}
		if (how == sharedByOwnersHost || how == sharedBesideTLS) && port.Protocol == object.ProtocolAuto {
			lost = "connections that are no HTTP/1.1 or HTTP/2 requests"
		}
		if lost == "" {
			continue
		}
		f := object.Finding{Object: r.service.Ref, Field: "spec.addresses", Code: object.CodeConflict}
		if r.service.Kubernetes() {
			f.Field = "spec.clusterIPs"
		}
		switch holder := r.AddressHolder(prefix.Addr()); {
		case owner != nil:
			f.Winner = owner.Ref
			f.Message = fmt.Sprintf("%s is an address of host %s too, which has its port %d; %s meant for %s go there: use another address or another port", prefix.Addr(), owner.Host, port.Number, lost, r.service.Host)
		case holder != (object.Ref{}) && holder.Namespace != r.service.Namespace:
			f.Winner = holder
			f.Message = fmt.Sprintf("%s is an address of %s in another namespace, and stays its own; %s meant for %s are not led elsewhere there: use another address", prefix.Addr(), holder, lost, r.service.Host)
		default:
			continue
		}
		p.Findings = append(p.Findings, f)
	}
}
