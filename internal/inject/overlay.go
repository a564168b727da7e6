package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/fairway-mesh/fairway/internal/redirect"
)

// autoImage is what a container's image says to be replaced.
const autoImage = "auto"

// isProxy tells whether c is the container by which a pod changes the proxy that it
// is given: named as the proxy, with the image "auto" or none.
func isProxy(c corev1.Container) bool {
	return c.Name == ProxyContainer && (c.Image == autoImage || c.Image == "")
}

// takeProxy takes the container by which the pod changes its proxy out of it; nil
// when there is none. native tells that it stood among the init containers, where
// only a native sidecar can.
func takeProxy(pod *corev1.Pod) (said *corev1.Container, native bool, err error) {
	i, j := slices.IndexFunc(pod.Spec.Containers, isProxy), slices.IndexFunc(pod.Spec.InitContainers, isProxy)
	switch {
	case i >= 0 && j >= 0:
		return nil, false, fmt.Errorf("spec.containers[%d] and spec.initContainers[%d] are both %s: keep one", i, j, ProxyContainer)
	case i >= 0:
		said = pod.Spec.Containers[i].DeepCopy()
		pod.Spec.Containers = slices.Delete(pod.Spec.Containers, i, i+1)
	case j >= 0:
		said, native = pod.Spec.InitContainers[j].DeepCopy(), true
		pod.Spec.InitContainers = slices.Delete(pod.Spec.InitContainers, j, j+1)
	}
	return said, native, nil
}

// overlay merges said, what the user says of the proxy's container, into base, field
// by field. What said leaves out stays, and so do the variables that the arguments
// need, with a note; arguments are added. Items of lists that have a name are merged
// whole.
func overlay(base, said corev1.Container) (out corev1.Container, notes []string, err error) {
	said = *said.DeepCopy()
	env, ports, mounts, args := said.Env, said.Ports, said.VolumeMounts, said.Args
	said.Env, said.Ports, said.VolumeMounts, said.Args = nil, nil, nil, nil
	if said.Image == autoImage {
		said.Image = ""
		if said.ImagePullPolicy == corev1.PullAlways { // so the API server says of an image without a tag
			said.ImagePullPolicy = ""
		}
	}
	base = *base.DeepCopy()
	for _, p := range []struct{ base, said *corev1.Probe }{
		{base.StartupProbe, said.StartupProbe}, {base.ReadinessProbe, said.ReadinessProbe}, {base.LivenessProbe, said.LivenessProbe},
	} {
		settleProbe(p.base, p.said)
	}
	if said.LivenessProbe != nil && said.LivenessProbe.ProbeHandler == (corev1.ProbeHandler{}) {
		said.LivenessProbe.ProbeHandler = ready() // ours has none, so there is nothing to take the rest from
	}
	if b, s := base.Lifecycle, said.Lifecycle; b != nil && s != nil {
		if s.PreStop != nil { // one hook does one thing
			b.PreStop = nil
		}
		if s.PostStart != nil {
			b.PostStart = nil
		}
	}
	settleSecurity(base.SecurityContext, said.SecurityContext)
	settleResources(&base.Resources, said.Resources)
	out, err = mergeContainer(base, said)
	if err != nil {
		return base, nil, fmt.Errorf("container %s: %w", ProxyContainer, err)
	}
	var more []corev1.EnvVar
	for _, v := range env {
		if isPlaceholder(base.Env, v.Name) {
			notes = append(notes, fmt.Sprintf("container %s: the variable %s is what its arguments are filled in with, and was left as it is: name yours otherwise", ProxyContainer, v.Name))
			continue
		}
		more = append(more, v)
	}
	out.Args = append(withoutLevels(base.Args, args), args...)
	out.Env = merge(base.Env, more, func(v corev1.EnvVar) string { return v.Name })
	type port struct {
		number int32
		udp    bool
	}
	out.Ports = merge(base.Ports, ports, func(v corev1.ContainerPort) port { return port{v.ContainerPort, v.Protocol == corev1.ProtocolUDP} })
	out.VolumeMounts = merge(base.VolumeMounts, mounts, func(v corev1.VolumeMount) string { return v.MountPath })
	return out, notes, nil
}

// withoutLevels are our arguments without the levels of components if theirs
// have them: Envoy does not start with two.
func withoutLevels(ours, theirs []string) []string {
	ours = slices.Clone(ours)
	if !slices.ContainsFunc(theirs, func(a string) bool { return a == componentLevelFlag || strings.HasPrefix(a, componentLevelFlag+"=") }) {
		return ours
	}
	if i := slices.Index(ours, componentLevelFlag); i >= 0 {
		ours = slices.Delete(ours, i, i+2)
	}
	return ours
}

// isPlaceholder tells whether a variable is one of ours that the arguments name.
func isPlaceholder(ours []corev1.EnvVar, name string) bool {
	return slices.ContainsFunc(ours, func(v corev1.EnvVar) bool { return v.Name == name && v.ValueFrom != nil })
}

// mergeContainer is a strategic merge, as kubectl patch does it.
func mergeContainer(base, said corev1.Container) (out corev1.Container, err error) {
	original, err := json.Marshal(base)
	if err != nil {
		return out, err
	}
	patch, err := json.Marshal(said)
	if err != nil {
		return out, err
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, corev1.Container{})
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(merged, &out)
}

// settleProbe prepares a probe of ours and what the user says of it for a merge. A
// probe asks in one way. A part of one, which says no way to ask, has been given the
// API server's own numbers where the user said none: those count as not said.
func settleProbe(base, said *corev1.Probe) {
	if base == nil || said == nil {
		return
	}
	if said.ProbeHandler != (corev1.ProbeHandler{}) {
		base.ProbeHandler = corev1.ProbeHandler{}
		return
	}
	for _, n := range []struct {
		field    *int32
		standard int32
	}{{&said.TimeoutSeconds, 1}, {&said.PeriodSeconds, 10}, {&said.SuccessThreshold, 1}, {&said.FailureThreshold, 3}} {
		if *n.field == n.standard {
			*n.field = 0
		}
	}
}

// settleSecurity takes out of ours what the user's makes impossible.
func settleSecurity(base, said *corev1.SecurityContext) {
	if base == nil || said == nil {
		return
	}
	if said.RunAsUser != nil && *said.RunAsUser == 0 {
		base.RunAsNonRoot = nil
	}
	privileged := said.Privileged != nil && *said.Privileged
	if c := said.Capabilities; c != nil {
		privileged = privileged || slices.Contains(c.Add, "SYS_ADMIN") || slices.Contains(c.Add, "CAP_SYS_ADMIN")
	}
	if privileged {
		base.AllowPrivilegeEscalation = nil
	}
}

// settleResources moves our limits up to the user's requests, and our requests down to
// the user's limits.
func settleResources(base *corev1.ResourceRequirements, said corev1.ResourceRequirements) {
	for name, request := range said.Requests {
		if limit, ok := base.Limits[name]; ok && limit.Cmp(request) < 0 {
			base.Limits[name] = request
		}
	}
	for name, limit := range said.Limits {
		if request, ok := base.Requests[name]; ok && request.Cmp(limit) > 0 {
			base.Requests[name] = limit
		}
	}
}

// merge is base, with what said has of the same key in its place, followed by the
// rest of said. What comes later may refer to what comes first.
func merge[T any, K comparable](base, said []T, key func(T) K) []T {
	at := make(map[K]int, len(base))
	for i, b := range slices.Backward(base) {
		at[key(b)] = i
	}
	out := slices.Clone(base)
	for _, s := range said {
		if i, ours := at[key(s)]; ours {
			out[i] = s
		} else {
			out = append(out, s)
		}
	}
	return out
}

// recognised is an error when traffic capture cannot tell what the proxy sends from
// what the application does: its rules know the proxy by its user or its group.
func recognised(proxy corev1.Container) error {
	s := proxy.SecurityContext
	if s == nil || s.RunAsUser != nil && *s.RunAsUser == redirect.DefaultProxyUID || s.RunAsGroup != nil && *s.RunAsGroup == redirect.DefaultProxyGID {
		return nil
	}
	return fmt.Errorf("container %s: securityContext has neither runAsUser %d nor runAsGroup %d, by which traffic capture knows the proxy: leave one of them out", ProxyContainer, redirect.DefaultProxyUID, redirect.DefaultProxyGID)
}
