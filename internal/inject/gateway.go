package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/workload"
)

// injectGateway fills in the container istio-proxy of a pod that is a gateway.
// What the pod itself says about the container is stronger.
func injectGateway(pod *corev1.Pod, owner workload.Owner, s settings, p Params) (notes []string, err error) {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == ProxyContainer })
	if i < 0 {
		return nil, fmt.Errorf("annotation %s is gateway, but there is no container %s: add one with image %s", TemplatesName, ProxyContainer, autoImage)
	}
	if s.concurrency == p.Concurrency && p.ProxyConfig.Concurrency == nil {
		s.concurrency = 0 // a gateway uses the processors it is given
	}
	notes = idle(pod.Annotations, s)
	config := bootstrapConfig(bootstrap.Router, pod, owner, p)
	config.Stats = s.stats
	proxy, err := proxyContainer(config, s, p)
	if err != nil {
		return nil, err
	}
	outlive(&proxy, drainWait(s.drainWait, pod))
	said := pod.Spec.Containers[i]
	pod.Spec.Containers = slices.Delete(slices.Clone(pod.Spec.Containers), i, i+1)
	proxy, more, err := finish(pod, proxy, &said, s)
	if err != nil {
		return nil, err
	}
	notes = append(notes, more...)
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, i, proxy)
	annotate(pod, false, false, p)
	if pod.Spec.SecurityContext == nil {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	if pod.Spec.SecurityContext.SeccompProfile == nil { // Pod Security "restricted" asks for one
		pod.Spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	const low = "net.ipv4.ip_unprivileged_port_start"
	if sysctls := &pod.Spec.SecurityContext.Sysctls; !slices.ContainsFunc(*sysctls, func(s corev1.Sysctl) bool { return s.Name == low }) {
		*sysctls = append(*sysctls, corev1.Sysctl{Name: low, Value: "0"}) // ports 80 and 443 without privilege
	}
	return notes, nil
}

// idle are notes about annotations that are for the proxy of an application: nothing of a
// gateway is captured, and there is nothing beside it that it has to wait for or to probe.
func idle(annotations map[string]string, s settings) (notes []string) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(name, trafficPrefix) && readers()[name] != nil || name == sidecarPrefix+"interceptionMode" || name == sidecarPrefix+"nativeSidecar" || name == sidecarPrefix+"rewriteAppHTTPProbers" {
			notes = append(notes, fmt.Sprintf("annotation %s is for the proxy beside an application, and does nothing for a gateway: take it out", name))
		}
	}
	if s.holdSaid {
		notes = append(notes, fmt.Sprintf("annotation %s: field holdApplicationUntilProxyStarts is for the proxy beside an application, and does nothing for a gateway: take it out", proxyConfigName))
	}
	return notes
}
