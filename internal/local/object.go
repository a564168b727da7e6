//go:build linux

package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Key names an object. Group is the API group without the version, since kinds of
// different groups share names.
type Key struct{ Group, Kind, Namespace, Name string }

// String is "Kind namespace/name".
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// clusterScoped are kinds without a namespace.
var clusterScoped = map[string]bool{
	"Namespace": true, "Node": true, "GatewayClass": true, "ClusterRole": true, "ClusterRoleBinding": true,
	"CustomResourceDefinition": true, "MutatingWebhookConfiguration": true, "ValidatingWebhookConfiguration": true, "PersistentVolume": true,
}

// groups are those groups that once held kinds which have moved since.
var groups = map[string]string{"extensions": "apps"}

func keyOf(u *unstructured.Unstructured) Key {
	group := u.GroupVersionKind().Group
	if moved, ok := groups[group]; ok {
		group = moved
	}
	return Key{group, u.GetKind(), u.GetNamespace(), u.GetName()}
}

// parse reads manifests: several YAML or JSON documents, Lists taken apart.
func parse(manifests []byte) ([]*unstructured.Unstructured, error) {
	reader := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	var out []*unstructured.Unstructured
	for n := 1; ; n++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		fields := map[string]any{}
		text, err := yaml.YAMLToJSON(document)
		if err == nil {
			err = json.Unmarshal(text, &fields) // whole numbers stay whole
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if len(fields) == 0 {
			continue
		}
		if err := collect(fields, &out); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

func collect(fields map[string]any, out *[]*unstructured.Unstructured) error {
	u := &unstructured.Unstructured{Object: fields}
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return errors.New("not a Kubernetes object: kind or apiVersion is missing")
	}
	if strings.HasSuffix(u.GetKind(), "List") && fields["items"] != nil {
		items, ok := fields["items"].([]any)
		if !ok {
			return errors.New("items must be a list")
		}
		for i, item := range items {
			inner, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("item %d is not an object", i)
			}
			if err := collect(inner, out); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		return nil
	}
	if u.GetName() == "" {
		return fmt.Errorf("%s: metadata.name is missing", u.GetKind())
	}
	if clusterScoped[u.GetKind()] {
		u.SetNamespace("")
	} else if u.GetNamespace() == "" {
		u.SetNamespace("default")
	}
	*out = append(*out, u)
	return nil
}

// typed reads an object into its API type.
func typed[T any](u *unstructured.Unstructured) (*T, error) {
	object := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, object); err != nil {
		return nil, fmt.Errorf("%s: %w", keyOf(u), err)
	}
	return object, nil
}

// untyped is the opposite.
func untyped(object any, apiVersion, kind string) *unstructured.Unstructured {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		panic(fmt.Sprintf("encoding a %s of our own: %v", kind, err)) // only types of the API come here
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	return u
}
