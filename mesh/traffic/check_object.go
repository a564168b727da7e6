package traffic

import (
	"fmt"
	"net/netip"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// CheckRoutes looks at what makes a VirtualService one.
func CheckRoutes(o *networkingv1.VirtualService) (findings []object.Finding) {
	if len(o.Spec.Http)+len(o.Spec.Tcp)+len(o.Spec.Tls) == 0 {
		object.Invalid(object.Ref{Kind: object.KindVirtualService, Namespace: o.Namespace, Name: o.Name}, &findings)("spec", "there are no rules, so that nothing is routed: add http, tls or tcp")
	}
	return findings
}

// CheckServers looks at what makes a Gateway one.
func CheckServers(o *networkingv1.Gateway) (findings []object.Finding) {
	if len(o.Spec.Servers) == 0 {
		object.Invalid(object.Ref{Kind: object.KindGateway, Namespace: o.Namespace, Name: o.Name}, &findings)("spec.servers", "there are no servers, so that no port is opened: add one with port and hosts")
	}
	return findings
}

// CheckEntryHosts looks at what makes a ServiceEntry one.
func CheckEntryHosts(o *networkingv1.ServiceEntry) (findings []object.Finding) {
	if len(o.Spec.Hosts) == 0 {
		object.Invalid(object.Ref{Kind: object.KindServiceEntry, Namespace: o.Namespace, Name: o.Name}, &findings)("spec.hosts", "there are no hosts, so that the entry declares nothing: name at least one")
	}
	return findings
}

// CheckWorkloadEntry looks at the address and the ports.
func CheckWorkloadEntry(o *networkingv1.WorkloadEntry) (findings []object.Finding) {
	bad := object.Invalid(object.Ref{Kind: object.KindWorkloadEntry, Namespace: o.Namespace, Name: o.Name}, &findings)
	address := o.Spec.Address
	_, err := netip.ParseAddr(address)
	switch {
	case address == "" && o.Spec.Network == "":
		bad("spec.address", "the address is empty: give an IP address or a DNS name")
	case strings.HasPrefix(address, "unix://"):
		if len(o.Spec.Ports) > 0 {
			bad("spec.ports", "a unix socket has no ports: remove them")
		}
	case address != "" && err != nil && (!object.ValidHost(address) || strings.Contains(address, "*")):
		bad("spec.address", "%q is neither an IP address nor a DNS name", address)
	}
	for name, port := range o.Spec.Ports {
		if port == 0 || port > object.MaxPort {
			bad("spec.ports["+name+"]", "%d is no port number: use 1 to 65535", port)
		}
	}
	return findings
}

// CheckEgress looks at the listeners of outbound traffic.
func CheckEgress(o *networkingv1.Sidecar) (findings []object.Finding) {
	ref := object.Ref{Kind: object.KindSidecar, Namespace: o.Namespace, Name: o.Name}
	bad := object.Invalid(ref, &findings)
	if p := o.Spec.OutboundTrafficPolicy.GetEgressProxy(); p != nil && (p.Host == "" || p.GetPort().GetNumber() == 0) {
		bad("spec.outboundTrafficPolicy.egressProxy", "the egress proxy has no host or no port; it is not used, and connections go as the mode says: give host and port.number")
	}
	if p := o.Spec.OutboundTrafficPolicy; p.GetEgressProxy() != nil && p.Mode == networking.OutboundTrafficPolicy_REGISTRY_ONLY {
		findings = append(findings, object.Finding{Object: ref, Field: "spec.outboundTrafficPolicy.egressProxy", Code: object.CodeUnsupported,
			Message: "with mode REGISTRY_ONLY nothing goes to hosts that are not known, so that the egress proxy is not used: use mode ALLOW_ANY, or take it out"})
	}
	findings = append(findings, checkInboundPool(ref, "spec.inboundConnectionPool", o.Spec.InboundConnectionPool)...)
	for i, l := range o.Spec.Ingress {
		findings = append(findings, checkInboundPool(ref, fmt.Sprintf("spec.ingress[%d].connectionPool", i), l.GetConnectionPool())...)
		if l.GetPort().GetTargetPort() != 0 { //nolint:staticcheck // the field of old is still written
			findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("spec.ingress[%d].port.targetPort", i), Code: object.CodeUnsupported, Message: "the field is not acted upon: use defaultEndpoint"})
		}
	}
	for i, l := range o.Spec.Egress {
		at := fmt.Sprintf("spec.egress[%d]", i)
		if len(l.GetHosts()) == 0 {
			bad(at+".hosts", "the listener shows no hosts: use namespace/host, such as ./* or */reviews.prod.svc.cluster.local")
		}
		if n := l.GetPort().GetNumber(); n > object.MaxPort {
			bad(at+".port.number", "%d is no port number; the listener shows nothing: use 1 to 65535", n)
		}
		if unboundSocket(l) {
			findings = append(findings, object.Finding{Object: ref, Field: at + ".bind", Code: object.CodeUnsupported,
				Message: fmt.Sprintf("%q is no IP address, and no others are supported; the hosts are served at their own addresses and ports: use an IP address", l.Bind)})
		}
		if l.GetPort().GetTargetPort() != 0 { //nolint:staticcheck // the field of old is still written
			findings = append(findings, object.Finding{Object: ref, Field: at + ".port.targetPort", Code: object.CodeUnsupported, Message: "the field is not acted upon: connections go to the ports of the endpoints; take it out"})
		}
		if l.GetPort() != nil && l.Port.Protocol == "HTTP_PROXY" {
			findings = append(findings, object.Finding{Object: ref, Field: at + ".port.protocol", Code: object.CodeUnsupported,
				Message: "the listener is no HTTP proxy; it serves the hosts that have its port, by their own protocols: connect to the services"})
		}
		for j, h := range l.GetHosts() {
			namespace, host, ok := strings.Cut(h, "/")
			if namespace == "~" && len(l.Hosts) > 1 {
				findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("%s.hosts[%d]", at, j), Code: object.CodeUnsupported,
					Message: "~ stands for no namespace, and hides none of the hosts beside it: write it alone to show nothing, or ~NAMESPACE/host to hide hosts"})
			}
			if !ok || namespace == "" || !object.ValidHost(host) {
				bad(fmt.Sprintf("%s.hosts[%d]", at, j), "%q is not namespace/host; it is ignored: write ./%s for the own namespace, or */%s for all", h, object.ResolveHost(h, o.Namespace, object.Domain), object.ResolveHost(h, o.Namespace, object.Domain))
			}
		}
	}
	return findings
}

// checkInboundPool tells what of a connection pool says nothing for what comes in.
func checkInboundPool(ref object.Ref, field string, pool *networking.ConnectionPoolSettings) (findings []object.Finding) {
	for name, set := range map[string]bool{"h2UpgradePolicy": pool.GetHttp().GetH2UpgradePolicy() != networking.ConnectionPoolSettings_HTTPSettings_DEFAULT, "useClientProtocol": pool.GetHttp().GetUseClientProtocol()} {
		if set {
			findings = append(findings, object.Finding{Object: ref, Field: field + ".http." + name, Code: object.CodeUnsupported,
				Message: "the field is not acted upon: the application is spoken to in the protocol of its port; declare that as HTTP2 or HTTP"})
		}
	}
	return findings
}
