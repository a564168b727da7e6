package informers

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// writers are the newest entries of an object's managedFields, without the fields: who wrote
// last what is not its status. They are several if several wrote in the same second, which is
// all that API servers keep. Nothing for the kinds of which Kubernetes makes many by itself:
// nobody asks who did.
func (k *kind) writers(o kubeObject) (newest []metav1.ManagedFieldsEntry) {
	switch k.mesh {
	case object.KindPod, object.KindNode, object.KindEndpointSlice:
		return nil
	}
	for _, e := range o.GetManagedFields() {
		if e.Subresource != "" || e.Manager == "" {
			continue
		}
		switch {
		case len(newest) == 0 || older(newest[0].Time, e.Time):
			newest = newest[:0]
		case older(e.Time, newest[0].Time):
			continue
		}
		newest = append(newest, metav1.ManagedFieldsEntry{Manager: e.Manager, Time: e.Time})
	}
	return newest
}

// older compares to the second; without a time is older than any.
func older(a, b *metav1.Time) bool { return a.Before(b) || a == nil && b != nil }

// originOf is what people are told of it: all that wrote last, in order and each once. A name
// is up to 128 bytes, as API servers have it.
func originOf(writers []metav1.ManagedFieldsEntry, version string) mesh.Origin {
	if len(writers) == 0 {
		return mesh.Origin{}
	}
	names := make([]string, 0, len(writers))
	for _, w := range writers {
		names = append(names, w.Manager)
	}
	slices.Sort(names)
	o := mesh.Origin{Manager: strings.Join(slices.Compact(names), ", "), Version: version}
	if t := writers[0].Time; t != nil {
		o.At = t.Time
	}
	return o
}
