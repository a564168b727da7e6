package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// kubernetes is a random object of a kind of Kubernetes, as an API server
// lets it be.
func (s *Source) kubernetes(ref object.Ref) mesh.Change {
	m := metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, CreationTimestamp: s.age(), Labels: s.labels()}
	switch ref.Kind {
	case object.KindService:
		return mesh.Change{Ref: ref, Object: s.service(m)}
	case object.KindPod:
		return mesh.Change{Ref: ref, Object: s.pod(m)}
	case object.KindSecret:
		return mesh.Change{Ref: ref, Object: s.secret(m)}
	case object.KindConfigMap:
		return mesh.Change{Ref: ref, Object: &corev1.ConfigMap{ObjectMeta: m, Data: map[string]string{"mesh": string(s.config())}}}
	case object.KindEndpointSlice:
		return mesh.Change{Ref: ref, Object: s.slice(m)}
	case object.KindNode:
		m.Namespace = ""
		m.Labels = map[string]string{"topology.kubernetes.io/region": pick(s.Choices, "r1", "r2"), "topology.kubernetes.io/zone": pick(s.Choices, "z1", "z2")}
		ref.Namespace = ""
		return mesh.Change{Ref: ref, Object: &corev1.Node{ObjectMeta: m}}
	case object.KindNamespace:
		ref.Namespace, ref.Name = "", ref.Namespace
		m.Namespace, m.Name = "", ref.Name
		if s.One(4) {
			m.Annotations = map[string]string{"networking.istio.io/traffic-distribution": pick(s.Choices, "PreferClose", "Any", "nonsense")}
		}
		return mesh.Change{Ref: ref, Object: &corev1.Namespace{ObjectMeta: m}}
	}
	panic("random: no objects of kind " + string(ref.Kind))
}

func (s *Source) labels() map[string]string {
	l := map[string]string{}
	for range s.N(3) {
		l[pick(s.Choices, s.Words.Keys...)] = pick(s.Choices, s.Words.Values...)
	}
	return l
}

func (s *Source) service(m metav1.ObjectMeta) *corev1.Service {
	o := &corev1.Service{ObjectMeta: m}
	o.Spec.ClusterIP = pick(s.Choices, "10.96.0.1", "10.96.0.2", "10.96.0.3", "None", "fd00:96::1")
	if o.Spec.ClusterIP != "None" && s.One(4) {
		o.Spec.ClusterIPs = []string{o.Spec.ClusterIP, "fd00:96::7"}
	}
	if !s.One(4) {
		o.Spec.Selector = map[string]string{"app": pick(s.Choices, s.Words.Values...)}
	}
	if s.One(6) {
		o.Annotations = map[string]string{pick(s.Choices, "networking.istio.io/exportTo", "networking.istio.io/traffic-distribution"): pick(s.Choices, ".", "a,b", "*", "~", "PreferClose", "nonsense")}
	}
	if s.One(8) {
		o.Spec.Type, o.Spec.ExternalName = corev1.ServiceTypeExternalName, pick(s.Choices, s.Words.Hosts...)
	}
	o.Spec.PublishNotReadyAddresses = s.One(4)
	if s.One(8) {
		o.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if s.One(8) {
		o.Spec.TrafficDistribution = new(pick(s.Choices, "PreferClose", "PreferSameNode", "nonsense"))
	}
	for i := range 1 + s.N(3) {
		p := corev1.ServicePort{Name: pick(s.Choices, "http", "tcp", "data", "https", "grpc", "tls-x", "http2", "mongo", "redis", "udp"), Port: pick[int32](s.Choices, 80, 81, 443, 8080, 15090, 15021), TargetPort: intstr.FromInt32(8080 + int32(i))}
		switch s.N(6) {
		case 0:
			p.AppProtocol = new(pick(s.Choices, "http", "kubernetes.io/h2c", "https", "tcp", "nonsense"))
		case 1:
			p.TargetPort = intstr.FromString(pick(s.Choices, "http", "named"))
		case 2:
			p.Protocol = pick(s.Choices, corev1.ProtocolUDP, corev1.ProtocolTCP)
		}
		o.Spec.Ports = append(o.Spec.Ports, p)
	}
	return o
}

func (s *Source) pod(m metav1.ObjectMeta) *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: m}
	o.Labels["app"] = pick(s.Choices, s.Words.Values...)
	if s.One(2) {
		o.Labels["security.istio.io/tlsMode"] = "istio"
	}
	o.Spec.ServiceAccountName = pick(s.Choices, "x", "default")
	o.Spec.NodeName = pick(s.Choices, s.Words.Names...)
	o.Spec.Hostname, o.Spec.Subdomain = pick(s.Choices, "", "web-0"), pick(s.Choices, "", "web")
	o.Spec.Containers = []corev1.Container{{Name: "a", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: pick[int32](s.Choices, 8080, 8081, 80)}}}}
	o.Status.Phase = pick(s.Choices, corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed)
	o.Status.PodIP = pick(s.Choices, fmt.Sprintf("10.0.%d.%d", len(m.Namespace), 20+s.N(5)), fmt.Sprintf("10.0.%d.%d", len(m.Namespace), 20+s.N(5)), "", "fd00::8")
	if s.One(6) && o.Status.PodIP != "" {
		o.Status.PodIPs = []corev1.PodIP{{IP: o.Status.PodIP}, {IP: "fd00::9"}}
	}
	o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: pick(s.Choices, corev1.ConditionTrue, corev1.ConditionTrue, corev1.ConditionFalse)}}
	if s.One(8) {
		o.DeletionTimestamp = new(s.age())
	}
	return o
}

func (s *Source) slice(m metav1.ObjectMeta) *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{ObjectMeta: m, AddressType: pick(s.Choices, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)}
	o.Labels["kubernetes.io/service-name"] = pick(s.Choices, s.Words.Names...)
	for range s.N(3) {
		e := discoveryv1.Endpoint{Addresses: []string{pick(s.Choices, "192.0.2.9", "192.0.2.10", "10.0.1.20", "fd00::7", "a.example", "nonsense")}}
		if s.One(2) {
			e.Conditions.Ready = new(s.One(2))
		}
		if s.One(4) {
			e.Zone, e.Hostname = new("z1"), new("web-0")
		}
		o.Endpoints = append(o.Endpoints, e)
	}
	for range s.N(3) {
		p := discoveryv1.EndpointPort{}
		if !s.One(4) {
			p.Name, p.Port = new(pick(s.Choices, "http", "tcp", "data", "")), new(pick[int32](s.Choices, 8080, 8081, 0))
		}
		o.Ports = append(o.Ports, p)
	}
	return o
}

// secret is one of the kinds of Secret that gateways serve, or a broken one.
func (s *Source) secret(m metav1.ObjectMeta) *corev1.Secret {
	cert, key := Certificate()
	other, _ := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0
	data := map[string][]byte{}
	for _, k := range []string{"tls.crt", "tls.key", "ca.crt", "cert", "key", "cacert", "crl", "ca.crl", "nonsense"} {
		if !s.One(3) {
			continue
		}
		data[k] = pick(s.Choices, cert, cert, key, other, nil, []byte("nonsense"))
	}
	if s.One(2) {
		data["tls.crt"], data["tls.key"] = cert, key
	}
	return &corev1.Secret{ObjectMeta: m, Type: pick(s.Choices, corev1.SecretTypeTLS, corev1.SecretTypeOpaque), Data: data}
}
