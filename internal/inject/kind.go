package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// templates are the kinds that hold pods: the API groups in which the kind was
// ever served, and the path to the pod or its template.
var templates = map[string]struct {
	groups []string
	path   []string
}{
	"Pod":                   {[]string{""}, nil},
	"PodTemplate":           {[]string{""}, []string{"template"}},
	"ReplicationController": {[]string{""}, []string{"spec", "template"}},
	"Deployment":            {[]string{"apps", "extensions"}, []string{"spec", "template"}},
	"ReplicaSet":            {[]string{"apps", "extensions"}, []string{"spec", "template"}},
	"DaemonSet":             {[]string{"apps", "extensions"}, []string{"spec", "template"}},
	"StatefulSet":           {[]string{"apps"}, []string{"spec", "template"}},
	"Job":                   {[]string{"batch"}, []string{"spec", "template"}},
	"CronJob":               {[]string{"batch"}, []string{"spec", "jobTemplate", "spec", "template"}},
}

// injectObject changes a decoded object, or the items of a list, in place.
func injectObject(object map[string]any, p Params, report Report) (changed bool, err error) {
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	if items, ok := object["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		var failures []error
		for i, item := range items {
			fields, ok := item.(map[string]any)
			if !ok {
				continue
			}
			if _, typed := fields["kind"]; !typed && kind != "List" {
				fields = withType(fields, strings.TrimSuffix(kind, "List"), version)
			}
			one, err := injectObject(fields, p, report)
			if err != nil {
				failures = append(failures, fmt.Errorf("item %d: %w", i, err))
			}
			changed = changed || one
		}
		return changed, errors.Join(failures...)
	}
	holder, known := templates[kind]
	if !known || !served(version, holder.groups) {
		return false, nil
	}
	template := object
	for _, key := range holder.path {
		next, ok := template[key].(map[string]any)
		if !ok {
			return false, nil
		}
		template = next
	}
	changed, notes, err := injectTemplate(template, object, kind, p)
	name := kind + " " + namespaceOf(object, template, p) + "/" + first(text(object, "metadata", "name"), text(object, "metadata", "generateName"))
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	for _, note := range notes {
		report(name, note)
	}
	return changed, nil
}

// withType is the same object (its values are shared) with the type that its
// list gives it.
func withType(fields map[string]any, kind, version string) map[string]any {
	typed := map[string]any{"kind": kind, "apiVersion": version}
	for k, v := range fields {
		typed[k] = v
	}
	return typed
}

// served says whether apiVersion belongs to one of groups.
func served(apiVersion string, groups []string) bool {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		group = ""
	}
	for _, g := range groups {
		if g == group && apiVersion != "" {
			return true
		}
	}
	return false
}

// injectTemplate changes template, which holds metadata and spec of a pod, in place.
func injectTemplate(template, object map[string]any, kind string, p Params) (bool, []string, error) {
	var pod corev1.Pod
	if err := convert(map[string]any{"metadata": template["metadata"], "spec": template["spec"]}, &pod); err != nil {
		return false, nil, fmt.Errorf("not a pod template: %w", err)
	}
	if len(pod.Spec.Containers) == 0 {
		return false, []string{"not injected: it has no containers"}, nil
	}
	given := pod.Namespace
	pod.Namespace = namespaceOf(object, template, p)
	p.Owner = Owner{Kind: kind, Name: first(text(object, "metadata", "name"), strings.TrimSuffix(text(object, "metadata", "generateName"), "-"))}
	if kind == "Pod" {
		p.Owner = Owner{}
	}
	result, err := Inject(&pod, p)
	if err != nil || !result.Changed {
		return false, result.Notes, err
	}
	var before, after map[string]any
	pod.Namespace, result.Pod.Namespace = given, given
	if err := convert(pod, &before); err != nil {
		return false, nil, err
	}
	if err := convert(result.Pod, &after); err != nil {
		return false, nil, err
	}
	for _, key := range []string{"metadata", "spec"} {
		template[key] = apply(template[key], before[key], after[key])
	}
	return true, result.Notes, nil
}

// namespaceOf is where the pods of object will live.
func namespaceOf(object, template map[string]any, p Params) string {
	return first(text(object, "metadata", "namespace"), text(template, "metadata", "namespace"), p.Namespace, corev1.NamespaceDefault)
}

// text is a string deep in a tree, or "".
func text(tree map[string]any, path ...string) string {
	for _, key := range path[:len(path)-1] {
		tree, _ = tree[key].(map[string]any)
	}
	value, _ := tree[path[len(path)-1]].(string)
	return value
}

// convert goes from one form of an object to another through JSON.
func convert(from, to any) error {
	encoded, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, to)
}
