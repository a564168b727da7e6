package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// The templates that this package is itself.
const (
	sidecarTemplate = "sidecar"
	gatewayTemplate = "gateway"
)

// requested is what TemplatesName asks for.
type requested struct {
	gateway bool
	more    []string // names of Params.Templates, the weakest first
	notes   []string
}

// templatesOf reads TemplatesName.
func templatesOf(pod *corev1.Pod, p Params) (r requested, err error) {
	said := pod.Annotations[TemplatesName]
	sidecar := strings.TrimSpace(said) == ""
	for name := range strings.SplitSeq(said, ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case sidecarTemplate:
			sidecar = true
		case gatewayTemplate:
			r.gateway = true
		default:
			if _, known := p.Templates[name]; !known {
				return r, fmt.Errorf("annotation %s: %q: want sidecar or gateway, and beside them what the mesh's settings of injection have under templates (%s)",
					TemplatesName, name, first(strings.Join(slices.Sorted(maps.Keys(p.Templates)), ", "), "none"))
			}
			r.more = append(r.more, name)
		}
	}
	switch {
	case r.gateway && sidecar && said != "":
		r.notes = append(r.notes, fmt.Sprintf("annotation %s names both sidecar and gateway: it became a gateway, which captures nothing", TemplatesName))
	case !r.gateway && !sidecar:
		return r, fmt.Errorf("annotation %s: %q brings no proxy: name sidecar or gateway, too", TemplatesName, said)
	}
	return r, nil
}

// fill adds to pod what the named templates have and it does not. The pod is stronger
// than any of them, and a later one than an earlier one.
func fill(pod *corev1.Pod, names []string, p Params) (*corev1.Pod, error) {
	if len(names) == 0 {
		return pod, nil
	}
	merged := []byte("{}")
	for _, name := range names {
		text, err := yaml.YAMLToJSON([]byte(p.Templates[name]))
		if err == nil {
			merged, err = strategicpatch.StrategicMergePatch(merged, text, corev1.Pod{})
		}
		if err != nil {
			return nil, fmt.Errorf("template %s of the mesh's settings of injection: %w", name, err)
		}
	}
	own, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	if merged, err = strategicpatch.StrategicMergePatch(merged, own, corev1.Pod{}); err != nil {
		return nil, fmt.Errorf("merging templates %s into the pod: %w", strings.Join(names, ", "), err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(merged, out); err != nil {
		return nil, err
	}
	out.Spec.Containers = inOrder(pod.Spec.Containers, out.Spec.Containers)
	out.Spec.InitContainers = inOrder(pod.Spec.InitContainers, out.Spec.InitContainers)
	return out, nil
}

// inOrder puts the pod's own containers first: kubectl takes the first one.
func inOrder(own, all []corev1.Container) []corev1.Container {
	rank := func(c corev1.Container) int {
		if i := slices.IndexFunc(own, func(o corev1.Container) bool { return o.Name == c.Name }); i >= 0 {
			return i
		}
		return len(own)
	}
	slices.SortStableFunc(all, func(a, b corev1.Container) int { return rank(a) - rank(b) })
	return all
}

// checkTemplates is an error when one of the templates is no part of a pod.
func checkTemplates(templates map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		if name == sidecarTemplate || name == gatewayTemplate || strings.ContainsAny(name, ", ") || name == "" {
			return fmt.Errorf("templates: %q is not a possible name: sidecar and gateway are built in, and commas part names", name)
		}
		var part struct {
			Metadata struct {
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
			Spec corev1.PodSpec `json:"spec"`
		}
		if err := yaml.UnmarshalStrict([]byte(templates[name]), &part); err != nil {
			return fmt.Errorf("templates.%s: want metadata (labels, annotations) and spec of a pod: %w", name, err)
		}
	}
	return nil
}
