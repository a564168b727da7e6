package status

import (
	"encoding/json"
	"fmt"

	"github.com/cespare/xxhash/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// kept is what is kept of one object: what decides about a write. There is one
// for each object of the mesh's configuration, so the status is kept as text,
// which takes far less than maps do.
type kept struct {
	metav1.TypeMeta
	metav1.ObjectMeta        // name, namespace, uid, resourceVersion and generation; of a bookmark, annotations
	text              string // the status as JSON; empty: none

	// decided is what nothing had to be written for, or only another number of
	// proxies; both are the writer's.
	decided input
	idle    bool // nothing at all
}

// input is what decides about the status of one version of an object.
type input struct {
	progress progress
	findings uint64 // a hash of them
	known    bool
}

func inputOf(findings []object.Finding, p progress) input {
	var d xxhash.Digest
	d.Reset()
	for _, f := range findings {
		_, _ = fmt.Fprintf(&d, "%s\x00%s\x00%s\x01", f.Code, f.Field, f.Message)
	}
	return input{p, d.Sum64(), true}
}

// UnmarshalJSON reads what decides about a write out of an object of any kind.
func (k *kept) UnmarshalJSON(js []byte) error {
	var o struct {
		metav1.TypeMeta
		Metadata struct {
			Namespace       string            `json:"namespace"`
			Name            string            `json:"name"`
			UID             types.UID         `json:"uid"`
			ResourceVersion string            `json:"resourceVersion"`
			Generation      int64             `json:"generation"`
			Annotations     map[string]string `json:"annotations"`
		} `json:"metadata"`
		Status json.RawMessage `json:"status"`
	}
	if err := kjson.Unmarshal(js, &o); err != nil {
		return err
	}
	m := o.Metadata
	k.TypeMeta, k.text = o.TypeMeta, string(o.Status)
	k.ObjectMeta = metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation}
	if k.Name == "" { // a bookmark says what it is by an annotation
		k.Annotations = m.Annotations
	}
	return nil
}

// DeepCopyObject makes runtime.Object of it.
func (k *kept) DeepCopyObject() runtime.Object { c := *k; return &c }

// keptList is a list of such, as the API server gives it out.
type keptList struct {
	metav1.TypeMeta
	metav1.ListMeta `json:"metadata"`
	Items           []*kept `json:"items"`
}

// DeepCopyObject makes runtime.Object of a list.
func (l *keptList) DeepCopyObject() runtime.Object { c := *l; return &c }

// status is that of the object; nil when it has none, or one that is no object.
func (k *kept) status() map[string]any {
	var m map[string]any
	if k.text == "" || kjson.Unmarshal([]byte(k.text), &m) != nil {
		return nil
	}
	return m
}
