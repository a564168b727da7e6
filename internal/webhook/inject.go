package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/inject"
)

// injectionLabel of a namespace asks for injection, or forbids it.
const injectionLabel = "istio-injection"

// inject answers for a pod that is about to be created.
func (c Config) inject(_ context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if r.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) || r.SubResource != "" || r.Operation != admissionv1.Create {
		return allowed()
	}
	if err := informers.CheckText(r.Object.Raw, informers.MaxValues); err != nil {
		return refused(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, fmt.Sprintf("the proxy cannot be added: the pod is too large: %v", err))
	}
	var pod corev1.Pod
	if err := json.Unmarshal(r.Object.Raw, &pod); err != nil {
		return refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf("the proxy cannot be added: the pod cannot be read: %v", err))
	}
	pod.Namespace = r.Namespace
	if !inject.Wanted(&pod, c.namespaceLabels(r.Namespace)) {
		return allowed()
	}
	p := c.Params()
	p.Namespace = r.Namespace
	if w := c.World(); w != nil {
		p.ProxyConfig = inject.ProxyConfig(w.ProxySettingsOf(r.Namespace, pod.Labels))
	}
	patch, notes, err := inject.Patch(r.Object.Raw, p)
	if err != nil {
		return refused(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid,
			fmt.Sprintf("the proxy cannot be added: %v: correct it, or label the pod %s=false", err, inject.InjectName))
	}
	response := allowed(notes...)
	if patch != nil {
		response.Patch, response.PatchType = patch, new(admissionv1.PatchTypeJSONPatch)
	}
	return response
}

// namespaceLabels are those of the namespace. The API server asks only about
// namespaces that want injection and pods that do; what it knows of the
// namespace is newer than the World, so only a clear no counts against it.
func (c Config) namespaceLabels(namespace string) map[string]string {
	if w := c.World(); w != nil && w.NamespaceLabels(namespace)[injectionLabel] == "disabled" {
		return w.NamespaceLabels(namespace)
	}
	return map[string]string{injectionLabel: "enabled"}
}
