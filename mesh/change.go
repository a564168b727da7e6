package mesh

import "github.com/fairway-mesh/fairway/mesh/object"

// Change is one object as it is now. Object is a pointer to the API type of
// the kind (for example *corev1.Service, or *networkingv1.VirtualService of
// istio.io/client-go whichever version it was served in), already trimmed and
// never modified afterwards; nil means that the object is gone.
type Change struct {
	Ref    object.Ref
	Object any
}

// Unread is the Object of a Secret that is no longer followed: it may exist, and
// nobody looks.
type Unread struct{}
