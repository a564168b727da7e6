package inject

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// auto is a container by which a pod changes its proxy.
func auto(change func(*corev1.Container)) corev1.Container {
	c := corev1.Container{Name: ProxyContainer, Image: autoImage}
	if change != nil {
		change(&c)
	}
	return c
}

// TestRefusedPods: what cannot be injected as it was asked for is refused with a
// sentence that names the field; it never becomes a pod that cannot start.
func TestRefusedPods(t *testing.T) {
	quantity := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	for _, c := range []struct {
		what, want string
		change     func(*corev1.Pod)
	}{
		{"a gateway on the node's network", "container istio-proxy is to be filled in, but spec.hostNetwork is set", func(p *corev1.Pod) {
			p.Annotations[TemplatesName], p.Spec.HostNetwork = "gateway", true
			p.Spec.Containers = []corev1.Container{auto(nil)}
		}},
		{"a gateway on Windows", "but spec.os.name is windows", func(p *corev1.Pod) {
			p.Annotations[TemplatesName], p.Spec.OS = "gateway", &corev1.PodOS{Name: corev1.Windows}
			p.Spec.Containers = []corev1.Container{auto(nil)}
		}},
		{"two containers for one proxy", "spec.containers[1] and spec.initContainers[0] are both istio-proxy: keep one", func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, auto(nil))
			p.Spec.InitContainers = []corev1.Container{auto(nil)}
		}},
		{"a proxy that nobody can tell from the application", "securityContext has neither runAsUser 1337 nor runAsGroup 1337", func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, auto(func(c *corev1.Container) {
				c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(1000)), RunAsGroup: new(int64(1000))}
			}))
		}},
		{"a proxy that asks for more than the pod has", "limits.cpu 2, and spec.resources.limits of the pod leaves 1", func(p *corev1.Pod) {
			p.Spec.Resources = &corev1.ResourceRequirements{Limits: quantity("1")}
			p.Annotations["sidecar.istio.io/proxyCPULimit"] = "2"
		}},
		{"a proxy that asks for more than is left", "requests.cpu 600m, and spec.resources.requests of the pod leaves 500m", func(p *corev1.Pod) {
			p.Spec.Resources = &corev1.ResourceRequirements{Requests: quantity("1")}
			p.Spec.Containers[0].Resources.Requests = quantity("500m")
			p.Spec.Containers = append(p.Spec.Containers, auto(func(c *corev1.Container) { c.Resources.Requests = quantity("600m") }))
		}},
	} {
		pod := web(c.change)
		pod.Labels[InjectName] = "true"
		if !Wanted(pod, nil) {
			t.Errorf("%s: the webhook would leave it alone", c.what)
		}
		if _, err := Inject(pod, DefaultParams()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.what, err, c.want)
		}
	}
}

// TestOverlayIsPossible: what the user says never makes a container, with what is ours,
// that Kubernetes refuses.
func TestOverlayIsPossible(t *testing.T) {
	inject := func(change func(*corev1.Container)) corev1.Container {
		t.Helper()
		r, err := Inject(web(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, auto(change)) }), DefaultParams())
		if err != nil {
			t.Fatal(err)
		}
		c, ok := proxyOf(r.Pod.Spec)
		if !ok || c.Image == autoImage {
			t.Fatal("there is no proxy")
		}
		return c
	}
	c := inject(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))} })
	if s := c.SecurityContext; *s.RunAsUser != 0 || s.RunAsNonRoot != nil {
		t.Errorf("a proxy as root must not say that it is not: %+v", s)
	}
	c = inject(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{Privileged: new(true)} })
	if s := c.SecurityContext; s.AllowPrivilegeEscalation != nil {
		t.Errorf("a privileged proxy must not say that it gains no privilege: %+v", s)
	}
	c = inject(func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "POD_NAME", Value: "mine"}} })
	if v := c.Env[0]; v.Name != "POD_NAME" || v.ValueFrom == nil || v.Value != "" {
		t.Errorf("the variables that arguments are filled in with must stay: %v", v)
	}
	c = inject(func(c *corev1.Container) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 443}, {ContainerPort: 443, Protocol: corev1.ProtocolUDP}}
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
		c.LivenessProbe = &corev1.Probe{PeriodSeconds: 7}
	})
	if len(c.Ports) != 3 {
		t.Errorf("a port of TCP and one of UDP are two: %v", c.Ports)
	}
	if p := c.ReadinessProbe; p.HTTPGet != nil || p.Exec == nil || p.FailureThreshold != 4 {
		t.Errorf("a probe asks in one way: %v", p)
	}
	if h := c.Lifecycle.PreStop; h.Sleep != nil || h.Exec == nil {
		t.Errorf("a hook does one thing: %v", h)
	}
	if p := c.LivenessProbe; p.HTTPGet == nil || p.PeriodSeconds != 7 {
		t.Errorf("a liveness probe that does not say how asks what ours do: %v", p)
	}
}
