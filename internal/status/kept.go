package status

import (
	"encoding/json"
	"fmt"

	"github.com/cespare/xxhash/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/fairway-mesh/fairway/mesh"
)

// kept is what is kept of one object: what decides about a write. There is one
// for each object of the mesh's configuration, so the status is kept as text,
// which takes far less than maps do.
type kept struct {
	metav1.ObjectMeta        // name, namespace, uid, resourceVersion and generation
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

func inputOf(findings []mesh.Finding, p progress) input {
	var d xxhash.Digest
	d.Reset()
	for _, f := range findings {
		_, _ = fmt.Fprintf(&d, "%s\x00%s\x00%s\x01", f.Code, f.Field, f.Message)
	}
	return input{p, d.Sum64(), true}
}

// trim keeps what decides about a write.
func trim(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	k := &kept{ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), Generation: u.GetGeneration()}}
	if status, ok := u.Object["status"]; ok {
		text, err := json.Marshal(status)
		if err != nil {
			return nil, fmt.Errorf("keeping the status of %s %s/%s: %w", u.GetKind(), k.Namespace, k.Name, err)
		}
		k.text = string(text)
	}
	return k, nil
}

// status is that of the object; nil when it has none, or one that is no object.
func (k *kept) status() map[string]any {
	var m map[string]any
	if k.text == "" || kjson.Unmarshal([]byte(k.text), &m) != nil {
		return nil
	}
	return m
}
