package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// namespaceLabel asks for injection of all pods of a namespace.
const namespaceLabel = "istio-injection"

// never are namespaces in which the cluster itself lives.
var never = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// Wanted says whether pod shall be injected in a namespace with the given
// labels, as the webhook must decide it: the pod's label sidecar.istio.io/inject
// is stronger than the annotation of that name, and both are stronger than the
// namespace's istio-injection.
func Wanted(pod *corev1.Pod, namespaceLabels map[string]string) bool {
	if refusal(pod) != "" || impossible(pod) != "" && !slices.ContainsFunc(pod.Spec.Containers, isProxy) {
		return false
	}
	if said := pod.Labels[InjectName]; said != "" {
		return said == "true"
	}
	switch namespaceLabels[namespaceLabel] {
	case "enabled":
		return pod.Annotations[InjectName] != "false"
	case "disabled":
		return false
	}
	return pod.Annotations[InjectName] == "true"
}

// refusal says why pod is never injected, whoever asks, or "".
func refusal(pod *corev1.Pod) string {
	if slices.Contains(never, pod.Namespace) {
		return fmt.Sprintf("namespace %s is never injected", pod.Namespace)
	}
	if said, ok := pod.Labels[InjectName]; ok {
		if said == "false" {
			return fmt.Sprintf("label %s is %q", InjectName, said)
		}
		return ""
	}
	if pod.Annotations[InjectName] == "false" {
		return fmt.Sprintf("annotation %s is %q", InjectName, "false")
	}
	return ""
}

// impossible says why there cannot be a proxy in pod, or "". A pod that has a container
// to be filled in with one is refused, since nobody can pull the image of that.
func impossible(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return "spec.hostNetwork is set: its proxy would capture the node's traffic, or share the node's ports with all others"
	}
	if field := windows(pod); field != "" {
		return field + " is windows: the proxy runs on Linux"
	}
	return ""
}

// windows is the field by which a pod runs on nodes with Windows only, or "".
func windows(pod *corev1.Pod) string {
	const system = "windows"
	if pod.Spec.OS != nil && pod.Spec.OS.Name == system {
		return "spec.os.name"
	}
	for _, label := range []string{corev1.LabelOSStable, "beta.kubernetes.io/os"} {
		if pod.Spec.NodeSelector[label] == system {
			return fmt.Sprintf("spec.nodeSelector[%s]", label)
		}
	}
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	asks := func(r corev1.NodeSelectorRequirement) bool {
		return r.Key == corev1.LabelOSStable && r.Operator == corev1.NodeSelectorOpIn && slices.Equal(r.Values, []string{system})
	}
	for _, t := range terms { // any one of them is enough for a node
		if !slices.ContainsFunc(t.MatchExpressions, asks) {
			return ""
		}
	}
	if len(terms) == 0 {
		return ""
	}
	return "spec.affinity.nodeAffinity of " + corev1.LabelOSStable
}
