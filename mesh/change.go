package mesh

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Change is one object as it is now. Object is a pointer to the API type of
// the kind (for example *corev1.Service, or *networkingv1.VirtualService of
// istio.io/client-go whichever version it was served in), already trimmed and
// never modified afterwards; nil means that the object is gone.
type Change struct {
	Ref    object.Ref
	Object any
	Origin Origin
}

// Origin says who wrote an object last, for people: the mesh is the same whatever it says.
// It is zero for objects of files, for those that are gone, and for kinds that Kubernetes
// makes by itself, such as Pods.
type Origin struct {
	// Manager is that of the newest entry of metadata.managedFields, those of the status left
	// out: "kubectl-client-side-apply", "argocd-controller". If several wrote in the same
	// second, it is all of them: "argocd-controller, kubectl-edit".
	Manager string
	At      time.Time // when that was, to the second
	Version string    // metadata.resourceVersion
}

// Unread is the Object of a Secret that is no longer followed: it may exist, and
// nobody looks.
type Unread struct{}
