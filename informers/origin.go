package informers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// writers is the newest entry of an object's managedFields, without the fields: who wrote
// last what is not its status. Nothing for the kinds of which Kubernetes makes many by
// itself: nobody asks who did.
func (k *kind) writers(o kubeObject) []metav1.ManagedFieldsEntry {
	switch k.mesh {
	case object.KindPod, object.KindNode, object.KindEndpointSlice:
		return nil
	}
	var newest *metav1.ManagedFieldsEntry
	list := o.GetManagedFields()
	for i := range list {
		e := &list[i]
		if e.Subresource != "" || e.Manager == "" {
			continue
		}
		if newest == nil || newest.Time == nil || e.Time != nil && !e.Time.Before(newest.Time) {
			newest = e
		}
	}
	if newest == nil {
		return nil
	}
	return []metav1.ManagedFieldsEntry{{Manager: newest.Manager, Time: newest.Time}}
}

// originOf is what people are told of it. A name is up to 128 bytes, as API servers have it.
func originOf(writers []metav1.ManagedFieldsEntry, version string) mesh.Origin {
	if len(writers) == 0 {
		return mesh.Origin{}
	}
	o := mesh.Origin{Manager: writers[0].Manager, Version: version}
	if t := writers[0].Time; t != nil {
		o.At = t.Time
	}
	return o
}
