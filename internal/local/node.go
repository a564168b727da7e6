//go:build linux

package local

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// NodeAddress is the address of the node in the mesh's network: probes come from
// there, and what StartOnNode starts listens there.
func NodeAddress() netip.Addr { return routerAddress }

// StartOnNode starts a program where the kubelet is in a cluster: outside of all
// pods, reaching all of them. It is killed with the mesh.
func (m *Mesh) StartOnNode(cmd *exec.Cmd) error {
	if err := m.router.Namespace.Start(cmd); err != nil {
		return fmt.Errorf("starting %s on the node: %w", cmd.Path, err)
	}
	m.state.record(cmd.Process.Pid)
	return nil
}

// NodeURL opens a port of NodeAddress on the machine, on a free port of 127.0.0.1,
// and says where.
func (m *Mesh) NodeURL(ctx context.Context, port uint16) (string, error) {
	return m.relays.extra(ctx, netip.AddrPortFrom(routerAddress, port))
}

// target is an entry of Prometheus' file-based discovery (file_sd_config).
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// PrometheusTargets lists the ports of all pods for Prometheus' file-based
// discovery, with the labels that its Kubernetes discovery (role: pod) gives, so
// that the same relabelling works on both.
func (m *Mesh) PrometheusTargets() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []target{}
	for _, e := range m.pods {
		if e.pod.Status.PodIP == "" {
			continue
		}
		for _, c := range append(e.pod.Spec.InitContainers, e.pod.Spec.Containers...) {
			for _, p := range c.Ports {
				number := strconv.Itoa(int(p.ContainerPort))
				t := target{
					Targets: []string{net.JoinHostPort(e.pod.Status.PodIP, number)},
					Labels: map[string]string{
						"__meta_kubernetes_namespace":                   e.pod.Namespace,
						"__meta_kubernetes_pod_name":                    e.pod.Name,
						"__meta_kubernetes_pod_ip":                      e.pod.Status.PodIP,
						"__meta_kubernetes_pod_phase":                   string(e.pod.Status.Phase),
						"__meta_kubernetes_pod_node_name":               e.pod.Spec.NodeName,
						"__meta_kubernetes_pod_container_name":          c.Name,
						"__meta_kubernetes_pod_container_port_name":     p.Name,
						"__meta_kubernetes_pod_container_port_number":   number,
						"__meta_kubernetes_pod_container_port_protocol": cmp.Or(string(p.Protocol), string(corev1.ProtocolTCP)),
					},
				}
				for name, value := range e.pod.Labels {
					t.Labels["__meta_kubernetes_pod_label_"+labelName(name)] = value
				}
				list = append(list, t)
			}
		}
	}
	return json.MarshalIndent(list, "", "  ")
}

// labelName is how Prometheus writes a Kubernetes label's name.
func labelName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}
