package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

// taken says which name that injection needs is in use, or "".
func taken(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == InitContainer {
			return fmt.Sprintf("it has a container %s of its own", c.Name)
		}
		if c.Name == ProxyContainer && !isProxy(c) {
			return fmt.Sprintf("it has a container %s of its own, with the image %s; to change the proxy that it would get, write the image %s there", c.Name, c.Image, autoImage)
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
		group := groupOf(pod, c)
		if group != nil && *group == redirect.DefaultProxyGID {
			notes = append(notes, fmt.Sprintf("container %s runs as group %d, which is the proxy's: its traffic passes the mesh by", c.Name, redirect.DefaultProxyGID))
		}
	}
	return notes
}

func groupOf(pod *corev1.Pod, c corev1.Container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsGroup != nil {
		return s.RunAsGroup
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.RunAsGroup
	}
	return nil
}

// proxyUser is an error when a container of the application runs as the user of
// the proxy, whose traffic is never captured. Init containers may: before a plain
// proxy runs it is how they reach the network, as Istio documents. Those that stay
// beside the application are like its containers.
func proxyUser(pod *corev1.Pod) error {
	check := func(list string, i int, c corev1.Container) error {
		field, user := "spec.securityContext.runAsUser", (*int64)(nil)
		if s := pod.Spec.SecurityContext; s != nil {
			user = s.RunAsUser
		}
		if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
			field, user = fmt.Sprintf("spec.%s[%d].securityContext.runAsUser", list, i), s.RunAsUser
		}
		if c.Name == ProxyContainer || user == nil || *user != redirect.DefaultProxyUID {
			return nil
		}
		return fmt.Errorf("container %s: %s is %d, the user of the proxy: nothing that it sends would go through the mesh; run it as another user", c.Name, field, redirect.DefaultProxyUID)
	}
	for i, c := range pod.Spec.Containers {
		if err := check("containers", i, c); err != nil {
			return err
		}
	}
	for i, c := range pod.Spec.InitContainers {
		if !stays(c) {
			continue
		}
		if err := check("initContainers", i, c); err != nil {
			return err
		}
	}
	return nil
}
