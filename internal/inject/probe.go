package inject

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
)

// probing collects the probes that the proxy must serve.
type probing struct {
	capture redirect.Config
	probes  []bootstrap.Probe
	notes   []string
}

// rewriteProbes turns the application's probes and HTTP hooks in pod to the
// proxy and returns what the proxy must serve for them. Those that the kubelet
// can still make itself stay, and so do those of init containers that start before
// the proxy: their probes must succeed before it is there.
func rewriteProbes(pod *corev1.Pod, capture redirect.Config, native bool) ([]bootstrap.Probe, []string) {
	r := probing{capture: capture}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if !stays(*c) { // it has no probes
			continue
		}
		if native {
			r.container(c)
		} else if probed(c) {
			r.notes = append(r.notes, fmt.Sprintf("init container %s: its probes and hooks were left as they are, since a plain proxy starts after it; strict mutual TLS refuses them: let the proxy be a native sidecar", c.Name))
		}
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name != ProxyContainer {
			r.container(c)
		}
	}
	return r.probes, r.notes
}

func (r *probing) container(c *corev1.Container) {
	for _, p := range []struct {
		name  string
		probe *corev1.Probe
	}{{"livez", c.LivenessProbe}, {"readyz", c.ReadinessProbe}, {"startupz", c.StartupProbe}} {
		if p.probe != nil {
			r.handler(c, p.name, &p.probe.ProbeHandler, p.probe)
		}
	}
	if c.Lifecycle == nil {
		return
	}
	for _, h := range []struct {
		name string
		hook *corev1.LifecycleHandler
	}{{"poststart", c.Lifecycle.PostStart}, {"prestop", c.Lifecycle.PreStop}} {
		if h.hook == nil || h.hook.HTTPGet == nil {
			continue
		}
		handler := corev1.ProbeHandler{HTTPGet: h.hook.HTTPGet}
		r.handler(c, h.name, &handler, nil)
		h.hook.HTTPGet = handler.HTTPGet
	}
}

// probed tells whether the kubelet asks a container over the network.
func probed(c *corev1.Container) bool {
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil && p.Exec == nil {
			return true
		}
	}
	return c.Lifecycle != nil && (c.Lifecycle.PostStart != nil && c.Lifecycle.PostStart.HTTPGet != nil || c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.HTTPGet != nil)
}

// handler rewrites one probe. probe is nil for a hook.
func (r *probing) handler(c *corev1.Container, name string, h *corev1.ProbeHandler, probe *corev1.Probe) {
	served := bootstrap.Probe{Path: "/app-health/" + c.Name + "/" + name}
	if probe != nil {
		served.Timeout = time.Duration(max(1, probe.TimeoutSeconds)) * time.Second
		served.Period = time.Duration(probe.PeriodSeconds) * time.Second
	} else {
		served.Timeout = time.Minute // the kubelet waits for a hook until the grace period ends
	}
	get := &corev1.HTTPGetAction{Path: served.Path, Port: intstr.FromInt32(bootstrap.ProbePort)}
	var port intstr.IntOrString
	switch {
	case h.HTTPGet != nil && h.HTTPGet.Host == "":
		served.Kind, served.Target, port = bootstrap.ProbeHTTP, bootstrap.Escape(h.HTTPGet.Path), h.HTTPGet.Port
		if h.HTTPGet.Scheme == corev1.URISchemeHTTPS {
			served.Kind = bootstrap.ProbeHTTPS
		}
		get.HTTPHeaders = h.HTTPGet.HTTPHeaders
		for _, header := range get.HTTPHeaders {
			served.KeepHost = served.KeepHost || strings.EqualFold(header.Name, "host")
		}
	case h.TCPSocket != nil && h.TCPSocket.Host == "":
		served.Kind, port = bootstrap.ProbeTCP, h.TCPSocket.Port
	case h.GRPC != nil:
		served.Kind, port = bootstrap.ProbeGRPC, intstr.FromInt32(h.GRPC.Port)
		if h.GRPC.Service != nil {
			served.Target = bootstrap.Escape(*h.GRPC.Service)
		}
	default: // exec, or another host than the pod
		return
	}
	number, ok := portNumber(c, port)
	if !ok {
		r.notes = append(r.notes, fmt.Sprintf("container %s: the port %s of its probe %s is not among its ports; the probe was left as it is", c.Name, port.String(), name))
		return
	}
	if !r.capture.IncludeInbound.Contains(number) || r.capture.ExcludeInbound.Contains(number) {
		return // the kubelet reaches it past the proxy
	}
	served.Port = number
	r.probes = append(r.probes, served)
	*h = corev1.ProbeHandler{HTTPGet: get}
}

// portNumber resolves a port that may be a name.
func portNumber(c *corev1.Container, port intstr.IntOrString) (uint16, bool) {
	number := port.IntVal
	if port.Type == intstr.String {
		n, err := strconv.ParseInt(port.StrVal, 10, 32) // what is no name may be a number in quotes
		if number = int32(n); err != nil {
			number = 0
		}
		for _, p := range c.Ports {
			if p.Name == port.StrVal {
				number = p.ContainerPort
			}
		}
	}
	return uint16(number), number > 0 && number <= 65535
}
