//go:build linux

package local

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// addBasics makes what every cluster has: namespaces, nodes, the DNS service, and
// the mesh's configuration.
func (m *Mesh) addBasics(ctx context.Context) error {
	var objects []*unstructured.Unstructured
	for _, name := range []string{"default", "kube-system", rootNamespace} {
		objects = append(objects, untyped(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"kubernetes.io/metadata.name": name},
		}}, "v1", "Namespace"))
	}
	for _, n := range m.config.Nodes {
		labels := relabel(n.Labels, map[string]string{"kubernetes.io/hostname": n.Name, "kubernetes.io/os": "linux"})
		objects = append(objects, untyped(&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
			Status: corev1.NodeStatus{
				Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: routerAddress.String()}},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			},
		}, "v1", "Node"))
	}
	objects = append(objects, nameService()...)
	if m.config.MeshConfig != "" {
		objects = append(objects, meshConfigMap(m.config.MeshConfig))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range objects {
		if err := m.put(u); err != nil {
			return fmt.Errorf("preparing the local mesh: %w", err)
		}
	}
	m.kick()
	return ctx.Err()
}

// nameService is the Service of the DNS server, which proxies see as any other.
func nameService() []*unstructured.Unstructured {
	const namespace, name = "kube-system", "kube-dns"
	tcp, udp, port := corev1.ProtocolTCP, corev1.ProtocolUDP, int32(53)
	tcpName, udpName, ready := "dns-tcp", "dns", true
	return []*unstructured.Unstructured{
		untyped(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: corev1.ServiceSpec{ClusterIP: dnsAddress.String(), Ports: []corev1.ServicePort{
				{Name: udpName, Port: port, Protocol: udp}, {Name: tcpName, Port: port, Protocol: tcp},
			}},
		}, "v1", "Service"),
		untyped(&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &udpName, Port: &port, Protocol: &udp}, {Name: &tcpName, Port: &port, Protocol: &tcp}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{routerAddress.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		}, "discovery.k8s.io/v1", "EndpointSlice"),
	}
}

func meshConfigMap(text string) *unstructured.Unstructured {
	return untyped(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: rootNamespace, Name: "istio"},
		Data:       map[string]string{"mesh": text},
	}, "v1", "ConfigMap")
}

// SetMeshConfig replaces the mesh's configuration (the YAML of Istio's MeshConfig)
// while everything runs.
func (m *Mesh) SetMeshConfig(ctx context.Context, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.put(meshConfigMap(text)); err != nil {
		return err
	}
	m.announce()
	return ctx.Err()
}
