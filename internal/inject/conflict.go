package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

// autoProxy finds the container by which a pod changes the proxy that it is
// given: named as the proxy, with the image "auto". -1 is none.
func autoProxy(pod *corev1.Pod) int {
	return slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return c.Name == ProxyContainer && c.Image == autoImage
	})
}

// taken says which name that injection needs is in use, or "".
func taken(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == InitContainer || (c.Name == ProxyContainer && c.Image != autoImage) {
			return fmt.Sprintf("it has a container %s of its own", c.Name)
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name == CredentialVolume {
			return fmt.Sprintf("it has a volume %s of its own", v.Name)
		}
	}
	return ""
}

// conflicts tells what of the application will not work beside a proxy. pod has
// no proxy yet.
func conflicts(pod *corev1.Pod) (notes []string) {
	proxyPorts := append(redirect.ExcludedInboundPorts().List, redirect.DefaultOutboundPort, redirect.DefaultInboundPort, bootstrap.AdminPort)
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if slices.Contains(proxyPorts, uint16(port.ContainerPort)) && port.Protocol != corev1.ProtocolUDP {
				notes = append(notes, fmt.Sprintf("container %s: port %d belongs to the proxy: use another", c.Name, port.ContainerPort))
			}
		}
		var user, group *int64
		if s := pod.Spec.SecurityContext; s != nil {
			user, group = s.RunAsUser, s.RunAsGroup
		}
		if s := c.SecurityContext; s != nil {
			user, group = firstOf(s.RunAsUser, user), firstOf(s.RunAsGroup, group)
		}
		if (user != nil && *user == redirect.DefaultProxyUID) || (group != nil && *group == redirect.DefaultProxyGID) {
			notes = append(notes, fmt.Sprintf("container %s runs as user or group %d, which is the proxy's: its traffic passes the mesh by", c.Name, redirect.DefaultProxyUID))
		}
	}
	return notes
}

func firstOf(a, b *int64) *int64 {
	if a != nil {
		return a
	}
	return b
}
