package mesh

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Secret is a Secret with key material that a Gateway or DestinationRule
// names. It never changes. Its text forms hold no key material.
type Secret struct {
	Ref  Ref
	Data map[string][]byte
}

// String names the secret and nothing that it holds.
func (s *Secret) String() string { return s.Ref.String() }

func parseSecret(o *corev1.Secret) *Secret {
	return &Secret{Ref: Ref{KindSecret, o.Namespace, o.Name}, Data: o.Data}
}

// Wanted is a Secret that an object names.
type Wanted struct {
	Ref   Ref
	By    Ref       // the Gateway or DestinationRule
	Since time.Time // when that was created
}
