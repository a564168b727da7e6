package traffic

import (
	"net"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// The methods by which a proxy is asked for a tunnel (TunnelSettings.protocol).
const (
	TunnelConnect = "CONNECT" // also when the field is empty
	TunnelPost    = "POST"
)

// tunnel is the block, or nil with a finding when there is nowhere to go.
// Connections then reach the destination itself.
func (c *destinationCheck) tunnel(at string, t *networking.TrafficPolicy_TunnelSettings) *networking.TrafficPolicy_TunnelSettings {
	const instead = "the tunnel is left out, as if it was not there"
	switch {
	case t == nil:
		return nil
	case t.Protocol != "" && t.Protocol != TunnelConnect && t.Protocol != TunnelPost:
		c.drop(at+".protocol", "%q is no way to ask for a tunnel; %s: use CONNECT or POST", t.Protocol, instead)
		return nil
	case net.ParseIP(t.TargetHost) == nil && (!object.ValidHost(t.TargetHost) || object.IsWildcard(t.TargetHost)):
		c.drop(at+".targetHost", "%q is neither a name nor an address; %s: name what the proxy is to connect to", t.TargetHost, instead)
		return nil
	case t.TargetPort == 0 || t.TargetPort > 65535:
		c.drop(at+".targetPort", "%d is no port; %s: use 1 to 65535", t.TargetPort, instead)
		return nil
	}
	return t
}
