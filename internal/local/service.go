//go:build linux

package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/local/nameserver"
	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// completeService gives a Service what the API server gives it: defaults and
// addresses, which an update keeps. Called with mu held.
func (m *Mesh) completeService(u, old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s, err := typed[corev1.Service](u)
	if err != nil {
		return nil, err
	}
	if s.Spec.Type == "" {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	before := &corev1.Service{}
	if old != nil {
		if before, err = typed[corev1.Service](old); err != nil {
			return nil, err
		}
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		p.Protocol = cmp.Or(p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
		for _, b := range before.Spec.Ports {
			if b.Port == p.Port && b.Protocol == p.Protocol && p.NodePort == 0 {
				p.NodePort = b.NodePort
			}
		}
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName {
		if err := m.giveClusterIP(s, before); err != nil {
			return nil, err
		}
	}
	if external(s) {
		m.relays.allocate(s)
		s.Status = before.Status
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0 {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: m.addresses.nextBalancer().String()}}
		}
	}
	return untyped(s, "v1", "Service"), nil
}

// external says whether the machine can reach the Service.
func external(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func (m *Mesh) giveClusterIP(s, before *corev1.Service) error {
	switch {
	case s.Spec.ClusterIP != "":
	case before.Spec.ClusterIP != "":
		s.Spec.ClusterIP, s.Spec.ClusterIPs = before.Spec.ClusterIP, before.Spec.ClusterIPs
	default:
		v4, v6, err := m.addresses.nextService(m.serviceAddressUsed)
		if err != nil {
			return err
		}
		s.Spec.ClusterIPs = []string{v4.String()}
		dual := s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack
		if m.config.IPv6 && dual {
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, v6.String())
		}
		if m.config.IPv6 && len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
			s.Spec.ClusterIPs = []string{v6.String()}
			if dual {
				s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, v4.String())
			}
		}
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	if len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
	s.Spec.IPFamilies = nil
	for _, ip := range s.Spec.ClusterIPs {
		family := corev1.IPv4Protocol
		if strings.Contains(ip, ":") {
			family = corev1.IPv6Protocol
		}
		s.Spec.IPFamilies = append(s.Spec.IPFamilies, family)
	}
	return nil
}

func (m *Mesh) serviceAddressUsed(a netip.Addr) bool {
	for key := range m.objects {
		if key.Group == "" && key.Kind == "Service" {
			if s := get[corev1.Service](m, key); s != nil && slices.Contains(s.Spec.ClusterIPs, a.String()) {
				return true
			}
		}
	}
	return false
}

// reconcileServices computes, from services and pods, what DNS, the router, the
// machine's ports and the control plane know of them. Called with mu held.
func (m *Mesh) reconcileServices() {
	view := &nameserver.View{Domain: clusterDomain, Namespaces: map[string]bool{}, Services: map[string]nameserver.Service{}, External: map[string][]netip.Addr{}}
	for _, o := range m.config.Outside {
		view.External[o.Name] = append(view.External[o.Name], o.Address)
	}
	var translated []network.Service
	var entrances []entrance
	made := map[Key]*unstructured.Unstructured{}
	for _, key := range slices.SortedFunc(maps.Keys(m.objects), func(a, b Key) int { return cmp.Compare(a.String(), b.String()) }) {
		switch {
		case key.Group != "":
		case key.Kind == "Namespace":
			view.Namespaces[key.Name] = true
		case key.Kind == "Service":
			s := get[corev1.Service](m, key)
			if s == nil {
				continue
			}
			backends := m.backendsOf(s)
			for _, slice := range endpointSlices(s, backends) {
				made[keyOf(slice)] = slice
			}
			view.Services[key.Name+"."+key.Namespace] = record(s, backends)
			translated = append(translated, translations(s, backends)...)
			entrances = append(entrances, entrancesOf(s, backends)...)
		}
	}
	m.names.Set(view)
	if !reflect.DeepEqual(m.services, translated) {
		if err := m.router.SetServices(translated); err != nil {
			m.config.Log.Error("services are out of date", "err", err)
		} else {
			m.services = translated
		}
	}
	m.relays.set(entrances)
	m.publishSlices(made)
}

// publishSlices shows the computed EndpointSlices to the control plane.
func (m *Mesh) publishSlices(made map[Key]*unstructured.Unstructured) {
	for key := range m.slices {
		if made[key] == nil {
			delete(m.slices, key)
			delete(m.objects, key)
			if err := m.state.remove(key); err != nil {
				m.config.Log.Error("an EndpointSlice stays", "err", err)
			}
		}
	}
	for key, u := range made {
		text, err := json.Marshal(u.Object)
		if err != nil || bytes.Equal(m.slices[key], text) {
			continue
		}
		m.slices[key] = text
		m.stamp(u, m.objects[key])
		if err := m.store(u); err != nil {
			m.config.Log.Error("an EndpointSlice is not published", "err", err)
		}
	}
}
