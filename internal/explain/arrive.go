package explain

import (
	"net/netip"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairway-mesh/fairway/translate"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Hop is how a proxy reaches one endpoint of a cluster.
type Hop struct {
	Address netip.Addr
	Port    uint32
	// Assumed says that the address stands for one that is not known.
	Assumed bool
	// Mutual says that the proxy shows the certificate of its workload. Encrypted says that
	// it speaks TLS at all.
	Mutual, Encrypted bool
	protocols         []string
	sni               string
}

// Caller is who a request comes from.
type Caller struct {
	Address   netip.Addr // of the connection; zero: nothing is known of it
	Principal string     // its SPIFFE id, which its proxy shows to servers that ask
	// Forwards says that it is a gateway, which tells the server who its own client is
	// (X-Forwarded-For): Client, zero where nothing is known of it.
	Forwards bool
	Client   netip.Addr
}

// Hops are the ways to the endpoints of a cluster that may get requests, in their order. One
// that is known by a name only has a zero address. A cluster that leads where the client
// connected to has the addresses that the client may have chosen, at its port.
func (r *Resources) Hops(cluster string, chosen []netip.Addr, port uint32) (out []Hop) {
	c := r.Clusters[cluster]
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST && c.GetClusterType() == nil {
		if other := c.GetOriginalDstLbConfig().GetUpstreamPortOverride(); other != nil {
			port = other.Value
		}
		for _, a := range chosen {
			out = append(out, hop(c, nil, a, port))
		}
		return out
	}
	panics := c.GetCommonLbConfig().GetHealthyPanicThreshold() == nil || c.CommonLbConfig.HealthyPanicThreshold.Value != 0
	for _, group := range r.Assignment(cluster).GetEndpoints() {
		for _, e := range group.LbEndpoints {
			if !panics && !usable(e) {
				continue
			}
			at := e.GetEndpoint().GetAddress().GetSocketAddress()
			a, err := netip.ParseAddr(at.GetAddress())
			if err != nil {
				a = netip.Addr{}
			}
			out = append(out, hop(c, e, a, at.GetPortValue()))
		}
	}
	return out
}

// usable tells whether an endpoint gets requests while others do.
func usable(e *endpointv3.LbEndpoint) bool {
	switch e.HealthStatus {
	case corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DEGRADED:
		return true
	}
	return false
}

// hop is the way to one endpoint.
func hop(c *clusterv3.Cluster, e *endpointv3.LbEndpoint, a netip.Addr, port uint32) Hop {
	h := Hop{Address: a, Port: port}
	tls := &tlsv3.UpstreamTlsContext{}
	if socket := socketFor(c, e); socket.GetTypedConfig() == nil || socket.GetTypedConfig().UnmarshalTo(tls) != nil {
		return h
	}
	common := tls.GetCommonTlsContext()
	h.Encrypted, h.protocols, h.sni = true, common.GetAlpnProtocols(), tls.GetSni()
	for _, s := range common.GetTlsCertificateSdsSecretConfigs() {
		h.Mutual = h.Mutual || s.GetName() == translate.WorkloadSecretName
	}
	return h
}

// socketFor is the transport socket that the cluster has for an endpoint.
func socketFor(c *clusterv3.Cluster, e *endpointv3.LbEndpoint) *corev3.TransportSocket {
	said := e.GetMetadata().GetFilterMetadata()[resource.TransportSocketMatch].GetFields()
next:
	for _, m := range c.GetTransportSocketMatches() {
		for name, want := range m.GetMatch().GetFields() {
			if said[name].GetStringValue() != want.GetStringValue() {
				continue next
			}
		}
		return m.GetTransportSocket()
	}
	return c.GetTransportSocket()
}

// Arrive follows a request, as a client's proxy sends it, through the resources of the
// server's sidecar to its application. Resources without a listener for what arrives are
// those of a server without a proxy: it takes everything.
func Arrive(resources *Resources, request Request, sent *Sent, hop Hop, from Caller) Answer {
	w := &walk{Resources: resources, Request: request}
	w.Source, w.Port, w.Scheme, w.caller = from.Address, hop.Port, "tcp", &from
	if w.Destination = hop.Address; hop.Assumed {
		w.Destination = netip.Addr{}
	}
	if sent != nil {
		w.Scheme, w.Authority, w.Path, w.Request.Header = "http", sent.Host, sent.Path, sent.Header
		w.Host = strings.ToLower(sent.Host)
	}
	if hop.Mutual {
		w.principal = from.Principal
	}
	l := resources.Listeners[translate.InboundListener]
	if l == nil {
		return w.Answer
	}
	seen := connection{port: hop.Port, destination: hop.Address, source: from.Address, transport: "raw_buffer", sni: hop.sni}
	switch {
	case hop.Encrypted:
		seen.transport, seen.protocols = "tls", hop.protocols
	case request.Scheme == "https" && sent == nil: // the client's own, which nothing on the way ends
		seen.transport, seen.protocols, seen.sni = "tls", []string{"h2", "http/1.1"}, request.Host
	case sent != nil:
		seen.protocols = []string{"http/1.1"}
	}
	chain := chooseChain(l.FilterChains, seen)
	if chain == nil {
		w.Verdict = &Verdict{Decision: Deny, Why: "The server's proxy takes no such connection: " + seen.String() + ". A PeerAuthentication asks for the mesh's mutual TLS."}
		w.end(0, "NR", "%s", w.Verdict.Why)
		return w.Answer
	}
	w.say("chain", chain.Name, "The connection is %s.", seen)
	if !hop.Mutual && asksCertificate(chain) {
		w.judge(Verdict{Decision: Unknown, Why: "The server's proxy asks for a certificate of the mesh, and which one it is shown is not known."})
		return w.Answer
	}
	w.serve(chain)
	return w.Answer
}

// asksCertificate tells whether the proxy asks clients for a certificate.
func asksCertificate(chain *listenerv3.FilterChain) bool {
	tls := &tlsv3.DownstreamTlsContext{}
	if socket := chain.GetTransportSocket(); socket.GetTypedConfig() == nil || socket.GetTypedConfig().UnmarshalTo(tls) != nil {
		return false
	}
	return tls.GetRequireClientCertificate().GetValue() || tls.GetCommonTlsContext().GetValidationContextType() != nil
}
