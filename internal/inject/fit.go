package inject

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// fit makes resources of the proxy fit into what the pod as a whole may use
// (spec.resources): Kubernetes refuses a pod whose containers ask for more. A request
// that finds no room is zero, which is not the same as none: for none the API server
// puts the limit. said tells that the user chose them; then what does not fit is an
// error.
func fit(pod *corev1.Pod, own corev1.ResourceRequirements, said bool) (corev1.ResourceRequirements, error) {
	whole := pod.Spec.Resources
	if whole == nil {
		return own, nil
	}
	out := *own.DeepCopy()
	for name, most := range whole.Limits {
		limit, ok := out.Limits[name]
		if !ok || limit.Cmp(most) <= 0 {
			continue
		}
		if said {
			return out, tooMuch("limits", name, limit, most)
		}
		out.Limits[name] = most.DeepCopy()
	}
	for name, all := range whole.Requests {
		request, asked := out.Requests[name]
		if limit, limited := out.Limits[name]; !asked && limited {
			request, asked = limit, true // as the API server would put it
		}
		room := roomIn(pod, name, all)
		if limit, limited := out.Limits[name]; limited && limit.Cmp(room) < 0 {
			room = limit
		}
		if !asked || request.Cmp(room) <= 0 {
			continue
		}
		if said {
			return out, tooMuch("requests", name, request, room)
		}
		if out.Requests == nil {
			out.Requests = corev1.ResourceList{}
		}
		out.Requests[name] = room
	}
	for name, limit := range out.Limits { // a limit may have come below the request
		if request, ok := out.Requests[name]; ok && request.Cmp(limit) > 0 {
			out.Requests[name] = limit.DeepCopy()
		}
	}
	return out, nil
}

func tooMuch(list string, name corev1.ResourceName, want, room resource.Quantity) error {
	return fmt.Errorf("the proxy is to have %s.%s %s, and spec.resources.%s of the pod leaves %s: raise that, or ask for less by the annotations %sproxy… or in the container %s",
		list, name, want.String(), list, room.String(), sidecarPrefix, ProxyContainer)
}

// roomIn is what the pod's own containers leave of a request. Init containers that
// end need it only before the proxy does.
func roomIn(pod *corev1.Pod, name corev1.ResourceName, all resource.Quantity) resource.Quantity {
	room := all.DeepCopy()
	take := func(c corev1.Container) {
		request, ok := c.Resources.Requests[name]
		if !ok {
			request = c.Resources.Limits[name]
		}
		room.Sub(request)
	}
	for _, c := range pod.Spec.Containers {
		take(c)
	}
	for _, c := range pod.Spec.InitContainers {
		if stays(c) {
			take(c)
		}
	}
	if room.Sign() < 0 {
		return resource.Quantity{}
	}
	return room
}

// stays tells whether an init container runs on beside the application.
func stays(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}
