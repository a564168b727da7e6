package mesh

import (
	"fmt"

	security "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func checkPeerAuthentication(_ object.Ref, o *securityv1.PeerAuthentication) (findings []object.Finding) {
	bad := object.Invalid(object.Ref{Kind: object.KindPeerAuthentication, Namespace: o.Namespace, Name: o.Name}, &findings)
	if len(o.Spec.PortLevelMtls) > 0 && len(o.Spec.GetSelector().GetMatchLabels()) == 0 {
		bad("spec.portLevelMtls", "ports have modes of their own only with a selector; those that are STRICT are in force, and others ignored: add spec.selector.matchLabels")
	}
	mode := func(at string, m *security.PeerAuthentication_MutualTLS) {
		if _, known := security.PeerAuthentication_MutualTLS_Mode_name[int32(m.GetMode())]; !known {
			bad(at+".mode", "%d is no mode; it counts as STRICT: use STRICT, PERMISSIVE, DISABLE or UNSET", m.GetMode())
		}
	}
	mode("spec.mtls", o.Spec.Mtls)
	for port, m := range o.Spec.PortLevelMtls {
		mode(fmt.Sprintf("spec.portLevelMtls[%d]", port), m)
		if port == 0 || port > object.MaxPort {
			bad(fmt.Sprintf("spec.portLevelMtls[%d]", port), "%d is no port number; it is ignored unless it is STRICT: use 1 to 65535, the port of the workload", port)
		}
	}
	return findings
}
