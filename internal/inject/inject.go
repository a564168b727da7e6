package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/workload"
)

// Result is what became of a pod.
type Result struct {
	// Pod is the injected pod, or the given one when Changed is false.
	Pod *corev1.Pod
	// Changed says whether anything was added.
	Changed bool
	// Notes are sentences for the user: why nothing was done, what was ignored.
	Notes []string
}

// Inject adds the proxy to pod, or to a pod template given as a pod, and leaves
// the argument as it is. A pod that has been injected already, that uses the
// node's network or that says no is left alone with a note; whether its
// namespace wants injection is for the caller to ask (Wanted). An error means
// that an annotation or the container of the proxy holds what it cannot hold, or
// that the application runs as the user of the proxy.
func Inject(pod *corev1.Pod, p Params) (Result, error) {
	if err := p.validate(); err != nil {
		return Result{}, err
	}
	if why := refusal(pod); why != "" {
		return Result{Pod: pod, Notes: []string{"not injected: " + why}}, nil
	}
	if pod.Annotations[StatusName] != "" {
		return Result{Pod: pod, Notes: []string{"left alone: it is injected already"}}, nil
	}
	templates, err := templatesOf(pod, p)
	if err != nil {
		return Result{}, err
	}
	out, err := fill(pod.DeepCopy(), templates.more, p)
	if err != nil {
		return Result{}, err
	}
	if why := impossible(out); why != "" {
		if slices.ContainsFunc(out.Spec.Containers, isProxy) {
			return Result{}, fmt.Errorf("container %s is to be filled in, but %s: leave that out, and let clients in by a Service or a hostPort", ProxyContainer, why)
		}
		return Result{Pod: pod, Notes: []string{"not injected: " + why}}, nil
	}
	s, notes, err := readSettings(out.Annotations, p)
	if err != nil {
		return Result{}, err
	}
	notes = append(templates.notes, notes...)
	owner := p.Owner
	if owner == (workload.Owner{}) {
		owner = workload.OwnerOf(pod)
	}
	addLabels(out, owner)
	if templates.gateway {
		var more []string
		more, err = injectGateway(out, owner, s, p)
		notes = append(notes, more...)
	} else {
		if why := taken(out); why != "" {
			return Result{Pod: pod, Notes: []string{"not injected: " + why}}, nil
		}
		if s.captured {
			if err := proxyUser(out); err != nil {
				return Result{}, err
			}
		}
		var more []string
		more, err = injectSidecar(out, owner, s, p)
		notes = append(notes, more...)
	}
	if err != nil {
		return Result{}, err
	}
	if !p.Plaintext {
		out.Spec.Volumes = append(out.Spec.Volumes, credentialVolume(p))
	}
	return Result{Pod: out, Changed: true, Notes: fewer(notes)}, nil
}

// fewer are the first of many notes, and how many the others are.
func fewer(notes []string) []string {
	if len(notes) <= maxNotes {
		return notes
	}
	return append(notes[:maxNotes:maxNotes], fmt.Sprintf("and %d more of such notes", len(notes)-maxNotes))
}

// injectSidecar puts traffic capture and a proxy beside the application.
func injectSidecar(pod *corev1.Pod, owner workload.Owner, s settings, p Params) (notes []string, err error) {
	said, inside, err := takeProxy(pod)
	if err != nil {
		return nil, err
	}
	native, why := isNative(pod, owner, s, inside)
	if why != "" {
		notes = append(notes, why)
	}
	config := bootstrapConfig(bootstrap.Sidecar, pod, owner, p)
	config.Stats = s.stats
	if p.DrainApplication && !ends(pod, owner) {
		drainApplication(pod, drainWait(s.drainWait, pod))
	}
	if s.rewriteProbes && s.captured {
		var more []string
		config.Probes, more = rewriteProbes(pod, s.capture, native)
		notes = append(notes, more...)
	}
	proxy, err := proxyContainer(config, s, p)
	if err != nil {
		return nil, err
	}
	if !native { // a native one ends after the application anyway
		outlive(&proxy, drainWait(s.drainWait, pod))
	}
	proxy, more, err := finish(pod, proxy, said, s)
	if err != nil {
		return nil, err
	}
	notes = append(notes, more...)
	if s.captured {
		if err := recognised(proxy); err != nil {
			return nil, err
		}
	}
	notes = append(notes, conflicts(pod)...)
	annotate(pod, native, s.captured, p)
	var inits []corev1.Container
	if s.captured {
		inits = append(inits, initContainer(s.capture, proxy.Resources, p))
	}
	if native {
		// The proxy works while the application's own init containers run.
		proxy.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		pod.Spec.InitContainers = slices.Concat(inits, []corev1.Container{proxy}, pod.Spec.InitContainers)
		return notes, nil
	}
	// No proxy runs while init containers do, so capture comes after them.
	pod.Spec.InitContainers = append(pod.Spec.InitContainers, inits...)
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, proxy)
	return notes, nil
}

// isNative decides whether the proxy is a native sidecar. note tells why it became one
// although neither the mesh nor the pod asks for it.
func isNative(pod *corev1.Pod, owner workload.Owner, s settings, inside bool) (native bool, note string) {
	const became = "the proxy became a native sidecar (Kubernetes 1.29 or newer): "
	switch {
	case s.native || s.hold || inside:
		return true, ""
	case ends(pod, owner):
		return true, became + "beside a plain one the pod would never complete"
	case slices.ContainsFunc(pod.Spec.InitContainers, stays) && !s.plain:
		return true, became + "the pod has native sidecars of its own, which a plain one would start after"
	}
	return false, ""
}

// finish is the proxy's container as the pod wants it, and as the pod has room for it.
func finish(pod *corev1.Pod, proxy corev1.Container, said *corev1.Container, s settings) (out corev1.Container, notes []string, err error) {
	chosen := s.resourcesSaid
	if said != nil {
		chosen = chosen || len(said.Resources.Requests)+len(said.Resources.Limits) > 0
		if proxy, notes, err = overlay(proxy, *said); err != nil {
			return proxy, nil, err
		}
	}
	proxy.Resources, err = fit(pod, proxy.Resources, chosen)
	return proxy, notes, err
}

// annotate leaves a mark and keeps kubectl logs and exec at the application.
func annotate(pod *corev1.Pod, native, captured bool, p Params) {
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[StatusName] = status(native, captured, !p.Plaintext)
	if len(pod.Spec.Containers) == 0 {
		return
	}
	for _, name := range []string{"kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"} {
		if pod.Annotations[name] == "" && pod.Spec.Containers[0].Name != ProxyContainer {
			pod.Annotations[name] = pod.Spec.Containers[0].Name
		}
	}
}

// addLabels adds what others in the mesh know the workload by.
func addLabels(pod *corev1.Pod, owner workload.Owner) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	for name, value := range map[string]string{
		"security.istio.io/tlsMode":           "istio",
		"service.istio.io/canonical-name":     first(pod.Labels["app.kubernetes.io/name"], pod.Labels["app"], owner.Name),
		"service.istio.io/canonical-revision": first(pod.Labels["app.kubernetes.io/version"], pod.Labels["version"], "latest"),
	} {
		if pod.Labels[name] == "" && value != "" && len(value) <= 63 {
			pod.Labels[name] = value
		}
	}
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// ends says whether the pod is meant to complete.
func ends(pod *corev1.Pod, owner workload.Owner) bool {
	return owner.Kind == "Job" || owner.Kind == "CronJob" ||
		(pod.Spec.RestartPolicy != "" && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways)
}
