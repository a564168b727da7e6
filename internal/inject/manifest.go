package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/workload"
)

// Template is the template of a workload's pods, or a Pod, as somebody wrote it.
type Template struct {
	Kind, Namespace, Name string // of the workload
	// Path leads to the template in its document: "spec.template", or
	// "items[2].spec.template" in a list; empty for a Pod.
	Path string
	// Pod is what the template makes, with the namespace of the workload; nil: it cannot be read.
	Pod *corev1.Pod
	// Problems are why the proxy cannot be added, Notes what of it would be ignored.
	Problems []error
	Notes    []string
	// Misplaced are annotations and labels that stand at the workload, where nobody reads them.
	Misplaced []string
}

// Templates reads the templates of one document in JSON that is an object or a list. A Pod
// that runs has none: it is what it is.
func Templates(document []byte) []Template {
	if !mayHoldPods(document) {
		return nil
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	err := d.Decode(&tree)
	object, ok := tree.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	items, ok := object["items"].([]any)
	if !ok || !strings.HasSuffix(kind, "List") {
		return templateOf(object, kind, version, "")
	}
	var out []Template
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			continue
		}
		itemKind, itemVersion := strings.TrimSuffix(kind, "List"), version
		if own, ok := object["kind"].(string); ok {
			itemKind = own
			itemVersion, _ = object["apiVersion"].(string)
		}
		out = append(out, templateOf(object, itemKind, itemVersion, fmt.Sprintf("items[%d]", i))...)
	}
	return out
}

// mayHoldPods tells whether the name of a kind with pods stands in the text: most
// documents are read by others already, and are not read again here.
func mayHoldPods(document []byte) bool {
	for kind := range templates {
		if kind != "Pod" && kind != "Job" && bytes.Contains(document, []byte(kind)) {
			return true
		}
	}
	for _, kind := range []string{"Pod", "Job"} { // which are parts of other words
		if bytes.Contains(document, []byte(`"kind":"`+kind)) {
			return true
		}
	}
	return false
}

// templateOf is the template of one object; none of other kinds.
func templateOf(object map[string]any, kind, version, at string) []Template {
	holder, known := templates[kind]
	if !known || !served(version, holder.groups) || kind == "Pod" && text(object, "status", "podIP") != "" {
		return nil
	}
	template := object
	for _, key := range holder.path {
		next, ok := template[key].(map[string]any)
		if !ok {
			return nil
		}
		template = next
	}
	p := DefaultParams()
	t := Template{
		Kind: kind, Namespace: namespaceOf(object, template, p), Path: strings.TrimPrefix(at+"."+strings.Join(holder.path, "."), "."),
		Name: first(text(object, "metadata", "name"), strings.TrimSuffix(text(object, "metadata", "generateName"), "-")),
	}
	t.Path = strings.TrimSuffix(t.Path, ".")
	var pod corev1.Pod
	if err := convert(map[string]any{"metadata": template["metadata"], "spec": template["spec"]}, &pod); err != nil {
		t.Problems = []error{fmt.Errorf("not a pod template: %w", err)}
		return []Template{t}
	}
	pod.Namespace = t.Namespace
	t.Pod = &pod
	if at := strings.Join(holder.path, "."); at != "" {
		t.Misplaced = misplaced(object, &pod, at)
	}
	t.check(p)
	return []Template{t}
}

// misplaced tells of annotations and labels for injection that a workload has and the
// template of its pods, which is at a path, has not.
func misplaced(object map[string]any, pod *corev1.Pod, at string) (out []string) {
	meta, _ := object["metadata"].(map[string]any)
	known := readers()
	look := func(what string, own map[string]string, is func(string) bool) {
		said, _ := meta[what+"s"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(said)) {
			if _, there := own[name]; !there && is(name) {
				out = append(out, fmt.Sprintf("%s %s stands at the workload, where nobody reads it: write it to %s.metadata.%ss", what, name, at, what))
			}
		}
	}
	look("annotation", pod.Annotations, func(name string) bool { return known[name] != nil || name == proxyConfigName || name == TemplatesName })
	look("label", pod.Labels, func(name string) bool { return name == InjectName })
	return out
}

// check says all that keeps the proxy from being added, where Inject says the first.
func (t *Template) check(p Params) {
	if len(t.Pod.Spec.Containers) == 0 || refusal(t.Pod) != "" || t.Pod.Annotations[StatusName] != "" {
		return
	}
	add := func(err error) {
		if err != nil {
			t.Problems = append(t.Problems, err)
		}
	}
	s, notes, err := readSettings(t.Pod.Annotations, p)
	add(err)
	if err != nil { // those that are ignored are known all the same
		_, notes, _ = readSettings(unsupported(t.Pod.Annotations), p)
	}
	asked, err := templatesOf(t.Pod, p)
	if err != nil { // the mesh's settings may have the template
		notes = append(notes, err.Error())
	}
	if !asked.gateway && s.captured && taken(t.Pod) == "" {
		add(proxyUser(t.Pod))
	}
	t.Notes = append(notes, asked.notes...)
	if said, ok := t.Pod.Labels[InjectName]; ok && said != "true" && said != "false" {
		t.Notes = append(t.Notes, fmt.Sprintf("label %s is %q, so that no proxy is added: write \"true\" or \"false\"", InjectName, said))
	}
	if said, ok := t.Pod.Annotations[InjectName]; ok && said != "true" && said != "false" {
		t.Notes = append(t.Notes, fmt.Sprintf("annotation %s is %q, which says nothing; the namespace's label decides: write \"true\" or \"false\"", InjectName, said))
	}
	if len(t.Problems) > 0 || err != nil {
		return
	}
	if t.Kind != "Pod" {
		p = owned(p, t.Kind, t.Name)
	}
	if _, err := Inject(t.Pod, p); err != nil {
		add(err)
	}
}

// unsupported are those of the annotations that no setting is read from.
func unsupported(annotations map[string]string) map[string]string {
	out := map[string]string{}
	known := readers()
	for name, v := range annotations {
		if known[name] == nil && name != proxyConfigName {
			out[name] = v
		}
	}
	return out
}

// owned are the parameters for the pods of a workload.
func owned(p Params, kind, name string) Params {
	p.Owner = workload.Owner{Kind: kind, Name: name}
	return p
}
