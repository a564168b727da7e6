package informers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kjson "sigs.k8s.io/json"

	"github.com/fairway-mesh/fairway/mesh"
)

// item is a custom resource on its way from the API server. It can always be
// decoded, even when the object in it cannot: one bad object must not make the
// list of its whole kind unreadable.
type item struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	value    object // nil: it cannot be read
	findings []mesh.Finding
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
	if err := kjson.UnmarshalCaseSensitivePreserveInts(js, &i.TypeMeta); err != nil {
		return err
	}
	k := kindOf[i.GroupVersionKind().GroupKind()]
	if k == nil {
		return fmt.Errorf("unexpected kind %s", i.GroupVersionKind())
	}
	if i.value, i.findings = k.decodeServed(js); i.value != nil {
		v := i.value
		i.ObjectMeta = metav1.ObjectMeta{Name: v.GetName(), Namespace: v.GetNamespace(), ResourceVersion: v.GetResourceVersion()}
		if i.Name == "" { // a bookmark says what it is by an annotation
			i.Annotations = v.GetAnnotations()
		}
		return nil
	}
	var partial struct {
		Metadata struct {
			Name            string `json:"name"`
			Namespace       string `json:"namespace"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(js, &partial); err != nil {
		return err
	}
	m := partial.Metadata
	i.ObjectMeta = metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, ResourceVersion: m.ResourceVersion}
	return nil
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
