package identity

import (
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Of is what the certificate of a workload of the world is about, in the trust
// domain.
func Of(w *registry.Workload, trustDomain string) Workload {
	return Workload{
		ID:   ID{trustDomain, w.Namespace, w.ServiceAccount},
		Name: w.Owner, App: w.CanonicalName(), Revision: w.CanonicalRevision(),
	}
}
