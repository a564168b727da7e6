package registry

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Resolution is how the endpoints of a service are found.
type Resolution uint8

// The resolutions.
const (
	ResolutionStatic        Resolution = iota // endpoints are known to the control plane
	ResolutionNone                            // the address that the client chose (ServiceEntry NONE)
	ResolutionDNS                             // the proxy resolves the endpoints' names, all addresses are used
	ResolutionDNSRoundRobin                   // the proxy resolves one name, one address per connection
	ResolutionDynamicDNS                      // the proxy resolves the name that the request carries
	ResolutionAlias                           // another host stands behind the name (ExternalName)
)

// Port is one port of a service.
type Port struct {
	Name       string
	Number     uint32 // the service's port, as clients use it
	Target     uint32 // numeric port on the workload; 0 when TargetName is set
	TargetName string // named port of the workload
	Protocol   object.Protocol
}

// Service is one host as declared by one Kubernetes Service or by the
// ServiceEntries of one namespace. It never changes; endpoints are kept
// beside it, see EndpointSet.
type Service struct {
	Ref       object.Ref   // the (oldest) object
	More      []object.Ref // further ServiceEntries merged into it
	Host      string
	Name      string
	Namespace string
	Created   time.Time
	Labels    map[string]string

	Ports      []Port
	Addresses  []netip.Prefix // where clients connect to; empty: by name only
	Headless   bool
	Resolution Resolution
	External   bool   // ServiceEntry location MESH_EXTERNAL: no mesh identity behind it
	Alias      string // ResolutionAlias: the host behind it, fully qualified

	ExportTo        object.Visibility
	Selector        map[string]string // of workloads; nil: none
	PublishNotReady bool
	LocalOnly       bool     // internalTrafficPolicy: Local
	Published       []string // addresses and names that load balancers gave it, and externalIPs
	LoadBalanced    bool     // it asks for a load balancer
	Distribution    string   // trafficDistribution: PreferClose, PreferSameZone, PreferSameNode
	SubjectAltNames []string // ServiceEntry subjectAltNames
}

// Kubernetes tells whether a Kubernetes Service declares the host.
func (s *Service) Kubernetes() bool { return s.Ref.Kind == object.KindService }

// Port finds the port by number; nil when there is none.
func (s *Service) Port(number uint32) *Port {
	for i := range s.Ports {
		if s.Ports[i].Number == number {
			return &s.Ports[i]
		}
	}
	return nil
}

// PortIndex is the place of the port in Ports, or -1.
func (s *Service) PortIndex(number uint32) int {
	return slices.IndexFunc(s.Ports, func(p Port) bool { return p.Number == number })
}

// ExportToAnnotation names the namespaces that see a Service.
const ExportToAnnotation = "networking.istio.io/exportTo"

// ExportTo is what the annotation says; nil where there is none.
func ExportTo(o *corev1.Service) (out object.Visibility) {
	if v := o.Annotations[ExportToAnnotation]; v != "" {
		for e := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(e))
		}
	}
	return out
}

// ParseService reads a Service. Ports that are neither TCP nor usable are
// left out.
func ParseService(o *corev1.Service, domain string) *Service {
	s := &Service{
		Ref:  object.Ref{Kind: object.KindService, Namespace: o.Namespace, Name: o.Name},
		Host: strings.ToLower(o.Name + "." + o.Namespace + ".svc." + domain),
		Name: o.Name, Namespace: o.Namespace, Created: o.CreationTimestamp.Time, Labels: o.Labels,
		Selector: o.Spec.Selector, PublishNotReady: o.Spec.PublishNotReadyAddresses,
		LocalOnly: o.Spec.InternalTrafficPolicy != nil && *o.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
	}
	if len(s.Selector) == 0 {
		s.Selector = nil // Kubernetes takes none and an empty one alike
	}
	s.Distribution = distribution(o)
	s.LoadBalanced = o.Spec.Type == corev1.ServiceTypeLoadBalancer
	for _, in := range o.Status.LoadBalancer.Ingress {
		if a := cmp.Or(in.IP, in.Hostname); a != "" {
			s.Published = append(s.Published, a)
		}
	}
	s.Published = append(s.Published, o.Spec.ExternalIPs...)
	s.ExportTo = ExportTo(o)
	for _, p := range o.Spec.Ports {
		port := Port{Name: p.Name, Number: uint32(p.Port), Protocol: object.KubernetesProtocol(string(p.Protocol), p.AppProtocol, p.Name, uint32(p.Port))}
		switch {
		case p.TargetPort.Type == intstr.String:
			port.TargetName = p.TargetPort.StrVal
		case p.TargetPort.IntVal > 0 && p.TargetPort.IntVal <= object.MaxPort:
			port.Target = uint32(p.TargetPort.IntVal)
		default:
			port.Target = uint32(p.Port)
		}
		if port.Number == 0 || port.Number > object.MaxPort {
			continue
		}
		switch same := s.Port(port.Number); {
		case same == nil:
			s.Ports = append(s.Ports, port)
		case same.Protocol == object.ProtocolUDP: // proxies have to do with the TCP port of the number only
			*same = port
		}
	}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		s.Resolution, s.Alias = ResolutionAlias, strings.ToLower(strings.TrimSuffix(o.Spec.ExternalName, "."))
		if object.IsWildcard(s.Alias) || s.Alias == "" { // an API server takes none
			s.Alias, s.Ports = "", nil
		}
		return s
	}
	ips := o.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{o.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if p, ok := object.ParseSubnet(ip); ok {
			s.Addresses = append(s.Addresses, p)
		}
	}
	s.Headless = len(s.Addresses) == 0
	return s
}

// CheckService says what of a Service is not served that an API server would
// not have taken.
func CheckService(s *Service, o *corev1.Service) (findings []object.Finding) {
	if o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		findings = append(findings, object.Finding{Object: s.Ref, Field: "spec.sessionAffinity", Code: object.CodeUnsupported,
			Message: "proxies choose an endpoint for each request or connection, whoever the client is: use a DestinationRule with loadBalancer.consistentHash.useSourceIp"})
	}
	if s.Resolution != ResolutionAlias || s.Alias != "" {
		return findings
	}
	return append(findings, object.Finding{Object: s.Ref, Field: "spec.externalName", Code: object.CodeInvalid,
		Message: fmt.Sprintf("%q is not the name of one host; the service has no ports: write a name such as db.example.com", o.Spec.ExternalName)})
}

// distribution reads how close the endpoints should be, from the field and
// from the annotation that came before it.
func distribution(o *corev1.Service) string {
	if o.Spec.TrafficDistribution != nil {
		switch d := *o.Spec.TrafficDistribution; d {
		case "PreferClose", "PreferSameZone", "PreferSameNode":
			return d
		}
	}
	return AnnotatedDistribution(o.Annotations)
}

// AnnotatedDistribution is the trafficDistribution that annotations of a Service or a
// Namespace choose; "Any" undoes that of the Namespace, and "" chooses nothing.
func AnnotatedDistribution(a map[string]string) string {
	switch v := a["networking.istio.io/traffic-distribution"]; v {
	case "PreferClose", "PreferSameZone", "PreferSameNode", "PreferSameNetwork":
		return v
	case "Any":
		return "Any"
	}
	return ""
}

// InCluster tells whether endpoints of the service are part of what is made of
// the host itself: DNS names stand in clusters, headless addresses in
// listeners.
func (s *Service) InCluster() bool {
	return s.Headless || s.Resolution != ResolutionStatic
}

// Equal compares services that were merged anew.
func (s *Service) Equal(o *Service) bool {
	return s.Ref == o.Ref && slices.Equal(s.More, o.More) && slices.Equal(s.Ports, o.Ports) && slices.Equal(s.Addresses, o.Addresses) &&
		s.Resolution == o.Resolution && s.External == o.External && s.ExportTo.Equal(o.ExportTo) && maps.Equal(s.Labels, o.Labels) &&
		maps.Equal(s.Selector, o.Selector) && slices.Equal(s.SubjectAltNames, o.SubjectAltNames) && s.Distribution == o.Distribution && s.Created.Equal(o.Created)
}

// ByItsName tells whether proxies find the service by resolving its host where
// it lists no endpoints.
func (s *Service) ByItsName() bool {
	return (s.Resolution == ResolutionDNS || s.Resolution == ResolutionDNSRoundRobin) && !object.IsWildcard(s.Host)
}
