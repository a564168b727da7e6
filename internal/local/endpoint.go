//go:build linux

package local

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/local/nameserver"
	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// backend is one address behind a Service.
type backend struct {
	pod         *corev1.Pod // nil: from an EndpointSlice that someone wrote
	addresses   []netip.Addr
	ports       map[string]int32 // by name of the Service's port
	ready       bool
	serving     bool
	terminating bool
}

// backendsOf finds the pods that the Service selects, or the endpoints that were
// written for one without selector. Called with mu held.
func (m *Mesh) backendsOf(s *corev1.Service) []backend {
	var out []backend
	if len(s.Spec.Selector) == 0 {
		for key := range m.objects {
			if key.Kind == "EndpointSlice" && key.Namespace == s.Namespace && m.slices[key] == nil {
				if slice := get[discoveryv1.EndpointSlice](m, key); slice != nil && slice.Labels[discoveryv1.LabelServiceName] == s.Name {
					out = append(out, written(slice)...)
				}
			}
		}
		return out
	}
	for _, e := range m.pods {
		if e.pod.Namespace != s.Namespace || e.finished() || len(e.pod.Status.PodIPs) == 0 || !selects(s.Spec.Selector, e.pod.Labels) {
			continue
		}
		b := backend{pod: e.pod, ports: map[string]int32{}, terminating: e.deleting()}
		for _, c := range e.pod.Status.Conditions {
			b.serving = b.serving || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}
		b.ready = b.serving && !b.terminating || s.Spec.PublishNotReadyAddresses
		for _, ip := range e.pod.Status.PodIPs {
			b.addresses = append(b.addresses, netip.MustParseAddr(ip.IP)) // our own
		}
		for _, p := range s.Spec.Ports {
			if number := targetPort(p, e.pod); number != 0 {
				b.ports[p.Name] = number
			}
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b backend) int { return strings.Compare(a.pod.Name, b.pod.Name) })
	return out
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// targetPort is the pod's port behind a Service's; zero if the pod has no port of
// that name.
func targetPort(p corev1.ServicePort, pod *corev1.Pod) int32 {
	if p.TargetPort.Type == intstr.Int {
		return p.TargetPort.IntVal
	}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, cp := range c.Ports {
			if cp.Name == p.TargetPort.StrVal && cp.Protocol == p.Protocol {
				return cp.ContainerPort
			}
		}
	}
	return 0
}

// written reads the endpoints of a slice that someone applied.
func written(slice *discoveryv1.EndpointSlice) (out []backend) {
	ports := map[string]int32{}
	for _, p := range slice.Ports {
		if p.Port != nil {
			name := ""
			if p.Name != nil {
				name = *p.Name
			}
			ports[name] = *p.Port
		}
	}
	for _, e := range slice.Endpoints {
		b := backend{ports: ports, ready: e.Conditions.Ready == nil || *e.Conditions.Ready}
		for _, text := range e.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				b.addresses = append(b.addresses, a)
			}
		}
		out = append(out, b)
	}
	return out
}

// endpointSlices are those that the EndpointSlice controller would write: one per
// address family and set of target ports.
func endpointSlices(s *corev1.Service, backends []backend) []*unstructured.Unstructured {
	if len(s.Spec.Selector) == 0 {
		return nil
	}
	slicesByName := map[string]*discoveryv1.EndpointSlice{}
	var order []string
	for _, b := range backends {
		for _, a := range b.addresses {
			family := discoveryv1.AddressTypeIPv4
			if a.Is6() {
				family = discoveryv1.AddressTypeIPv6
			}
			name := fmt.Sprintf("%s-%s%s", s.Name, strings.ToLower(string(family)), portsKey(b.ports, s.Spec.Ports))
			slice := slicesByName[name]
			if slice == nil {
				slice = newSlice(s, name, family, b.ports)
				slicesByName[name] = slice
				order = append(order, name)
			}
			node := b.pod.Spec.NodeName
			endpoint := discoveryv1.Endpoint{
				Addresses: []string{a.String()}, NodeName: &node,
				Conditions: discoveryv1.EndpointConditions{Ready: &b.ready, Serving: &b.serving, Terminating: &b.terminating},
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: b.pod.Namespace, Name: b.pod.Name, UID: b.pod.UID},
			}
			if b.pod.Spec.Hostname != "" && b.pod.Spec.Subdomain == s.Name {
				endpoint.Hostname = &b.pod.Spec.Hostname
			}
			slice.Endpoints = append(slice.Endpoints, endpoint)
		}
	}
	var out []*unstructured.Unstructured
	for _, name := range order {
		out = append(out, untyped(slicesByName[name], "discovery.k8s.io/v1", "EndpointSlice"))
	}
	return out
}

func newSlice(s *corev1.Service, name string, family discoveryv1.AddressType, ports map[string]int32) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name, Labels: relabel(s.Labels, map[string]string{
			discoveryv1.LabelServiceName: s.Name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
		})},
		AddressType: family,
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		slice.Labels[corev1.IsHeadlessService] = ""
	}
	for _, p := range s.Spec.Ports {
		if number, has := ports[p.Name]; has {
			name, protocol := p.Name, p.Protocol
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol, AppProtocol: p.AppProtocol})
		}
	}
	return slice
}

// portsKey tells apart pods whose named ports differ.
func portsKey(ports map[string]int32, order []corev1.ServicePort) string {
	key := ""
	for _, p := range order {
		if p.TargetPort.Type == intstr.String {
			key += fmt.Sprintf("-%d", ports[p.Name])
		}
	}
	return key
}

// record is what DNS says of the Service.
func record(s *corev1.Service, backends []backend) nameserver.Service {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nameserver.Service{Alias: s.Spec.ExternalName}
	}
	r := nameserver.Service{Ports: map[string]uint16{}}
	for _, p := range s.Spec.Ports {
		if p.Name != "" {
			r.Ports["_"+p.Name+"._"+strings.ToLower(string(p.Protocol))] = uint16(p.Port)
		}
	}
	if s.Spec.ClusterIP != corev1.ClusterIPNone {
		for _, ip := range s.Spec.ClusterIPs {
			if a, err := netip.ParseAddr(ip); err == nil {
				r.Addresses = append(r.Addresses, a)
			}
		}
		return r
	}
	r.Headless, r.Pods = true, map[string][]netip.Addr{}
	for _, b := range backends {
		if !b.ready {
			continue
		}
		r.Addresses = append(r.Addresses, b.addresses...)
		if b.pod != nil && b.pod.Spec.Hostname != "" && b.pod.Spec.Subdomain == s.Name {
			r.Pods[b.pod.Spec.Hostname] = b.addresses
		} else if len(b.addresses) > 0 { // as CoreDNS names pods that have no name
			r.Pods[strings.NewReplacer(".", "-", ":", "-").Replace(b.addresses[0].String())] = b.addresses
		}
	}
	return r
}

// translations are the Service's cluster addresses for the router.
func translations(s *corev1.Service, backends []backend) (out []network.Service) {
	for _, ip := range s.Spec.ClusterIPs {
		a, err := netip.ParseAddr(ip)
		if err != nil || a == dnsAddress { // the router answers there itself
			continue
		}
		for _, p := range s.Spec.Ports {
			if p.Protocol == corev1.ProtocolSCTP {
				continue
			}
			out = append(out, network.Service{
				Address: netip.AddrPortFrom(a, uint16(p.Port)), UDP: p.Protocol == corev1.ProtocolUDP,
				Backends: targets(p.Name, a.Is6(), backends),
			})
		}
	}
	return out
}

// targets are the ready backends of a port, of one family.
func targets(port string, is6 bool, backends []backend) (out []netip.AddrPort) {
	for _, b := range backends {
		number, has := b.ports[port]
		if !b.ready || !has {
			continue
		}
		for _, a := range b.addresses {
			if a.Is6() == is6 {
				out = append(out, netip.AddrPortFrom(a, uint16(number)))
			}
		}
	}
	return out
}
