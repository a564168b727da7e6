package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
)

// autoImage is what a container's image says to be replaced.
const autoImage = "auto"

// wantsGateway reads TemplatesName.
func wantsGateway(pod *corev1.Pod) (bool, error) {
	gateway := false
	for name := range strings.SplitSeq(pod.Annotations[TemplatesName], ",") {
		switch strings.TrimSpace(name) {
		case "gateway":
			gateway = true
		case "", "sidecar":
		default:
			return false, fmt.Errorf("annotation %s: %q: want sidecar or gateway", TemplatesName, name)
		}
	}
	return gateway, nil
}

// injectGateway fills in the container istio-proxy of a pod that is a gateway.
// What the pod itself says about the container is stronger.
func injectGateway(pod *corev1.Pod, owner Owner, s settings, p Params) error {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == ProxyContainer })
	if i < 0 {
		return fmt.Errorf("annotation %s is gateway, but there is no container %s: add one with image %s", TemplatesName, ProxyContainer, autoImage)
	}
	if s.concurrency == p.Concurrency && p.ProxyConfig.Concurrency == nil {
		s.concurrency = 0 // a gateway uses the processors it is given
	}
	config := bootstrapConfig(bootstrap.Router, pod, owner, p)
	config.Stats = s.stats
	proxy, err := proxyContainer(config, s, p)
	if err != nil {
		return err
	}
	outlive(&proxy, drainWait(s.drainWait, pod))
	pod.Spec.Containers[i] = overlay(proxy, pod.Spec.Containers[i])
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
	return nil
}

// overlay gives said, the user's container, what base has and it does not.
func overlay(base, said corev1.Container) corev1.Container {
	out := said
	replaced := said.Image == autoImage || said.Image == ""
	if replaced {
		out.Image = base.Image
	}
	// The API server says Always to an image without a tag, as autoImage is.
	if said.ImagePullPolicy == "" || replaced && said.ImagePullPolicy == corev1.PullAlways {
		out.ImagePullPolicy = base.ImagePullPolicy
	}
	out.Args = append(slices.Clone(base.Args), said.Args...)
	out.Env = merge(base.Env, said.Env, func(v corev1.EnvVar) string { return v.Name })
	out.Ports = merge(base.Ports, said.Ports, func(v corev1.ContainerPort) string {
		return fmt.Sprint(v.ContainerPort, v.Protocol == corev1.ProtocolUDP)
	})
	out.VolumeMounts = merge(base.VolumeMounts, said.VolumeMounts, func(v corev1.VolumeMount) string { return v.MountPath })
	if len(said.Resources.Requests) == 0 && len(said.Resources.Limits) == 0 {
		out.Resources = base.Resources
	}
	if said.SecurityContext == nil {
		out.SecurityContext = base.SecurityContext
	}
	if said.ReadinessProbe == nil {
		out.ReadinessProbe = base.ReadinessProbe
	}
	if said.StartupProbe == nil {
		out.StartupProbe = base.StartupProbe
	}
	if said.Lifecycle == nil {
		out.Lifecycle = base.Lifecycle
	}
	return out
}

// merge is said, followed by what of base has a key that said does not.
func merge[T any](base, said []T, key func(T) string) []T {
	out := slices.Clone(said)
	for _, b := range base {
		if !slices.ContainsFunc(said, func(s T) bool { return key(s) == key(b) }) {
			out = append(out, b)
		}
	}
	return out
}
