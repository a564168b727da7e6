package translate

import (
	"net"
	"strconv"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Tunnel is how connections reach their target through an HTTP proxy
// (TrafficPolicy.tunnel): the destination is the proxy. The zero value is none.
type Tunnel struct {
	Target string // "host:port", what the proxy is asked to connect to
	Post   bool   // asked for by POST; false: by CONNECT
}

// tunnelOf is the tunnel of connections to a destination; rule may be nil,
// subset "". Listeners hold it, so that shares of one route cannot differ.
func tunnelOf(rule *traffic.DestinationRule, subset string) Tunnel {
	t := effectivePolicy(&mesh.Config{}, rule, rule.Subset(subset), 0).tunnel // settings of ports have none
	if t == nil {
		return Tunnel{}
	}
	return Tunnel{Target: net.JoinHostPort(t.TargetHost, strconv.FormatUint(uint64(t.TargetPort), 10)), Post: t.Protocol == traffic.TunnelPost}
}

func (t Tunnel) config() *tcpv3.TcpProxy_TunnelingConfig {
	if t == (Tunnel{}) {
		return nil
	}
	return &tcpv3.TcpProxy_TunnelingConfig{Hostname: t.Target, UsePost: t.Post}
}
