package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/workload"
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
func injectObject(object map[string]any, kind, version string, p Params, report Report) (changed bool, err error) {
	if items, ok := object["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		return injectList(items, strings.TrimSuffix(kind, "List"), version, p, report)
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
	name := objectName(object, kind, namespaceOf(object, template, p))
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	for _, note := range notes {
		report(name, note)
	}
	return changed, nil
}

// injectList changes items in place. A typed list, such as DeploymentList, may
// leave out the type of its items.
func injectList(items []any, kind, version string, p Params, report Report) (changed bool, err error) {
	var failures []error
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			continue
		}
		itemKind, itemVersion := kind, version
		if own, ok := object["kind"].(string); ok {
			itemKind = own
			itemVersion, _ = object["apiVersion"].(string)
		}
		one, err := injectObject(object, itemKind, itemVersion, p, report)
		if err != nil {
			failures = append(failures, fmt.Errorf("item %d: %w", i, err))
		}
		changed = changed || one
	}
	return changed, errors.Join(failures...)
}

// objectName is how people are told which object is meant.
func objectName(object map[string]any, kind, namespace string) string {
	return kind + " " + namespace + "/" + first(text(object, "metadata", "name"), text(object, "metadata", "generateName"), "(no name)")
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
	p.Owner = workload.Owner{Kind: kind, Name: first(text(object, "metadata", "name"), strings.TrimSuffix(text(object, "metadata", "generateName"), "-"))}
	if kind == "Pod" {
		p.Owner = workload.Owner{}
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

// convert goes from one form of an object to another through JSON, and keeps
// numbers as they are written.
func convert(from, to any) error {
	encoded, err := json.Marshal(from)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	return decoder.Decode(to)
}
