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
	if refusal(pod) != "" {
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
	switch {
	case slices.Contains(never, pod.Namespace):
		return fmt.Sprintf("namespace %s is never injected", pod.Namespace)
	case pod.Spec.HostNetwork:
		return "hostNetwork is set: capturing its traffic would capture the node's"
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
