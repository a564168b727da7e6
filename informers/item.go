package informers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kjson "sigs.k8s.io/json"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// item is a custom resource on its way from the API server. It can always be
// decoded, even when the object in it cannot: one bad object must not make the
// list of its whole kind unreadable. The object is read when the store wants it:
// most of what comes on a watch tells of nothing but another status, which this
// control plane has written itself.
type item struct {
	metav1.TypeMeta
	metav1.ObjectMeta // name, namespace and resourceVersion; of a bookmark, annotations
	kind              *kind
	js                []byte     // nil: it has been read
	digest            uint64     // see digest
	value             kubeObject // nil: it has not been read, or cannot be
	closed            kubeObject // what is in force instead where the mesh has none; nil: nothing
	findings          []object.Finding
}

// itemList is a list of such, as the API server gives it out.
type itemList struct {
	metav1.TypeMeta
	metav1.ListMeta `json:"metadata"`
	Items           []*item `json:"items"`
}

// kindOf are the rows of the table by what the API server calls them.
var kindOf = func() map[schema.GroupKind]*kind {
	m := map[schema.GroupKind]*kind{}
	for _, k := range kinds() {
		m[k.groupKind()] = k
	}
	return m
}()

// UnmarshalJSON never fails on well-formed JSON.
func (i *item) UnmarshalJSON(js []byte) error {
	var text struct {
		metav1.TypeMeta
		Metadata json.RawMessage `json:"metadata"`
		Spec     json.RawMessage `json:"spec"`
		Status   json.RawMessage `json:"status"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(js, &text); err != nil {
		return err
	}
	i.TypeMeta = text.TypeMeta
	i.kind = kindOf[i.GroupVersionKind().GroupKind()]
	if i.kind == nil {
		return fmt.Errorf("unexpected kind %s", i.GroupVersionKind())
	}
	var meta struct {
		Name            string            `json:"name"`
		Namespace       string            `json:"namespace"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text.Metadata, &meta); err != nil {
		return err
	}
	i.ObjectMeta = metav1.ObjectMeta{Name: meta.Name, Namespace: meta.Namespace, ResourceVersion: meta.ResourceVersion}
	if i.Name == "" { // a bookmark says what it is by an annotation
		i.Annotations = meta.Annotations
		return nil
	}
	i.js = bytes.Clone(js)
	if i.kind.mesh != object.KindServiceEntry { // whose addresses stand in the status
		text.Status = nil
	}
	i.digest = digest(text.Metadata, text.Spec, text.Status)
	return nil
}

// digest is the same for what an API server gives out of one object when only
// its status has changed: the text of the rest, and of the metadata without who
// wrote what and when.
func digest(metadata json.RawMessage, more ...json.RawMessage) uint64 {
	var fields map[string]json.RawMessage
	if err := kjson.UnmarshalCaseSensitivePreserveInts(metadata, &fields); err != nil {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "managedFields" && name != "resourceVersion" {
			_, _ = d.WriteString(name)
			_, _ = d.Write(fields[name])
		}
	}
	for _, text := range more {
		_, _ = d.WriteString("\x00")
		_, _ = d.Write(text)
	}
	return max(d.Sum64(), 1)
}

// read reads the object, once.
func (i *item) read() {
	if i.js == nil {
		return
	}
	i.value, i.findings = i.kind.decodeServed(i.js)
	if i.value == nil {
		i.closed = i.kind.closed(object.Ref{Kind: i.kind.mesh, Namespace: i.Namespace, Name: i.Name}, i.js)
	}
	i.js = nil
}

// DeepCopyObject makes runtime.Object of an item. Items are not modified, so
// that both share what they hold.
func (i *item) DeepCopyObject() runtime.Object { c := *i; return &c }

// DeepCopyObject makes runtime.Object of a list.
func (l *itemList) DeepCopyObject() runtime.Object { c := *l; return &c }

// newCodecs teaches the decoders each version of each kind: Kubernetes' own as
// their Go types, which come in protobuf, and custom resources as items.
func newCodecs() (runtime.NegotiatedSerializer, runtime.ParameterCodec, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, netv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("registering Kubernetes' kinds: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	groups := map[schema.GroupVersion]bool{}
	for _, k := range kinds() {
		if !k.custom() {
			continue
		}
		for _, v := range k.versions {
			gv := schema.GroupVersion{Group: k.group, Version: v}
			scheme.AddKnownTypeWithName(gv.WithKind(k.name), &item{})
			scheme.AddKnownTypeWithName(gv.WithKind(k.name+"List"), &itemList{})
			if !groups[gv] {
				groups[gv] = true
				metav1.AddToGroupVersion(scheme, gv)
			}
		}
	}
	return serializer.NewCodecFactory(scheme).WithoutConversion(), runtime.NewParameterCodec(scheme), nil
}
