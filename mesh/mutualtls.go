package mesh

import (
	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// MutualTLS is what a workload's port asks of its clients
// (PeerAuthentication.mtls.mode).
type MutualTLS uint8

// The modes.
const (
	Permissive MutualTLS = iota // mutual TLS and plaintext
	Strict                      // mutual TLS only
	Disabled                    // plaintext only
)

func mutualTLS(m *security.PeerAuthentication_MutualTLS) (MutualTLS, bool) {
	switch m.GetMode() {
	case security.PeerAuthentication_MutualTLS_DISABLE:
		return Disabled, true
	case security.PeerAuthentication_MutualTLS_PERMISSIVE:
		return Permissive, true
	case security.PeerAuthentication_MutualTLS_STRICT:
		return Strict, true
	}
	if m.GetMode() > security.PeerAuthentication_MutualTLS_STRICT || m.GetMode() < 0 { // whatever it means
		return Strict, true
	}
	return Permissive, false
}

// MutualTLSOf is the mode of a port (of the workload, not of a service; 0: of any that no
// policy names) under
// the policies: that of the mesh, overridden by the namespace's, overridden by
// the workload's, overridden by the port's; the oldest of each level counts,
// unset inherits, and nothing at all is Permissive. Port levels belong into
// policies with a selector, which select workloads of their own namespace only,
// the root namespace's too. Without a selector only those count that close the port.
func MutualTLSOf(policies *Policies[*security.PeerAuthentication], root string, w *registry.Workload, port uint32) MutualTLS {
	mode := Permissive
	var levels [3]*PeerAuthentication
	for _, p := range policies.For(root, w.Namespace, w.Labels) {
		level := p.Level(root)
		if levels[level] == nil && (level < 2 || p.Namespace == w.Namespace) {
			levels[level] = p
		}
	}
	for level, p := range levels {
		if p == nil {
			continue
		}
		if m, ok := mutualTLS(p.Spec.GetMtls()); ok {
			mode = m
		}
		if m, ok := mutualTLS(p.Spec.GetPortLevelMtls()[port]); ok && (m == Strict || level == 2 && port != 0) {
			mode = m
		}
	}
	return mode
}
