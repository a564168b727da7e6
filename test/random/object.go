package random

import (
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Object is what every API type is.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kinds are those of the Istio API, whose objects hold one message.
var Kinds = []object.Kind{
	object.KindVirtualService, object.KindDestinationRule, object.KindGateway, object.KindServiceEntry, object.KindWorkloadEntry, object.KindSidecar, object.KindProxyConfig,
	object.KindPeerAuthentication, object.KindRequestAuthentication, object.KindAuthorizationPolicy, object.KindTelemetry,
}

// KubernetesKinds are those whose objects are plain structs.
var KubernetesKinds = []object.Kind{object.KindService, object.KindPod, object.KindNode, object.KindNamespace, object.KindEndpointSlice, object.KindSecret}

// istio makes an empty object of a kind of the Istio API.
func istio(k object.Kind) Object {
	switch k {
	case object.KindVirtualService:
		return &networkingv1.VirtualService{}
	case object.KindDestinationRule:
		return &networkingv1.DestinationRule{}
	case object.KindGateway:
		return &networkingv1.Gateway{}
	case object.KindServiceEntry:
		return &networkingv1.ServiceEntry{}
	case object.KindWorkloadEntry:
		return &networkingv1.WorkloadEntry{}
	case object.KindSidecar:
		return &networkingv1.Sidecar{}
	case object.KindProxyConfig:
		return &networkingv1beta1.ProxyConfig{}
	case object.KindPeerAuthentication:
		return &securityv1.PeerAuthentication{}
	case object.KindRequestAuthentication:
		return &securityv1.RequestAuthentication{}
	case object.KindAuthorizationPolicy:
		return &securityv1.AuthorizationPolicy{}
	case object.KindTelemetry:
		return &telemetryv1.Telemetry{}
	}
	return nil
}

// Spec is the message of an object of the Istio API; nil for others.
func Spec(obj any) protoreflect.Message {
	switch o := obj.(type) {
	case *networkingv1.VirtualService:
		return o.Spec.ProtoReflect()
	case *networkingv1.DestinationRule:
		return o.Spec.ProtoReflect()
	case *networkingv1.Gateway:
		return o.Spec.ProtoReflect()
	case *networkingv1.ServiceEntry:
		return o.Spec.ProtoReflect()
	case *networkingv1.WorkloadEntry:
		return o.Spec.ProtoReflect()
	case *networkingv1.Sidecar:
		return o.Spec.ProtoReflect()
	case *networkingv1beta1.ProxyConfig:
		return o.Spec.ProtoReflect()
	case *securityv1.PeerAuthentication:
		return o.Spec.ProtoReflect()
	case *securityv1.RequestAuthentication:
		return o.Spec.ProtoReflect()
	case *securityv1.AuthorizationPolicy:
		return o.Spec.ProtoReflect()
	case *telemetryv1.Telemetry:
		return o.Spec.ProtoReflect()
	}
	return nil
}

// deep is how far messages nest.
const deep = 7

// Change is a random object of a kind, under one of the words' names.
func (s *Source) Change(k object.Kind) mesh.Change {
	ref := object.Ref{Kind: k, Namespace: pick(s.Choices, s.Words.Namespaces...), Name: pick(s.Choices, s.Words.Names...)}
	return s.Object(ref)
}

// Object is a random object of a name.
func (s *Source) Object(ref object.Ref) mesh.Change {
	if ref.Kind == object.KindMeshConfigFile {
		return mesh.Change{Ref: ref, Object: s.config()}
	}
	if ref.Kind == object.KindGatewayClass {
		ref.Namespace = ""
	}
	if o := s.gatewayAPI(ref); o != nil {
		return mesh.Change{Ref: ref, Object: named(o, ref, s.age())}
	}
	o := istio(ref.Kind)
	if o == nil {
		return s.kubernetes(ref)
	}
	s.Fill(Spec(o), deep)
	return mesh.Change{Ref: ref, Object: named(o, ref, s.age())}
}

// Other is the object of a change in another version: one place of it differs,
// or now and then all of it.
func (s *Source) Other(c mesh.Change) mesh.Change {
	if Spec(c.Object) == nil || s.One(12) {
		return s.Object(c.Ref)
	}
	o := c.Object.(Object).DeepCopyObject().(Object)
	for range 1 + s.N(2) {
		s.Mutate(Spec(o), deep)
	}
	return mesh.Change{Ref: c.Ref, Object: o}
}

func (s *Source) age() metav1.Time { return metav1.NewTime(time.Unix(int64(1000+s.N(50)), 0)) }

// ConfigRef names the mesh's configuration.
var ConfigRef = object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}

// providers are what telemetry and authorization may name.
const providers = `{"extensionProviders": [
{"name": "log", "envoyFileAccessLog": {"path": "/dev/stdout"}},
{"name": "als", "envoyHttpAls": {"service": "web.a.svc.cluster.local", "port": 81}},
{"name": "otel", "opentelemetry": {"service": "api.b.svc.cluster.local", "port": 4317}},
{"name": "zipkin", "zipkin": {"service": "db.a.svc.cluster.local", "port": 9411}},
{"name": "prometheus", "prometheus": {}},
{"name": "authz", "envoyExtAuthzHttp": {"service": "web.a.svc.cluster.local", "port": 81}},
{"name": "authz-grpc", "envoyExtAuthzGrpc": {"service": "api.b.svc.cluster.local", "port": 81}}]`

// settings are parts of mesh configurations; any of them may stand together.
var settings = []string{
	`"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}`, `"trustDomain": "td.example"`, `"accessLogFile": "/dev/stdout"`, `"accessLogFormat": "%REQ(x)% %NOPE%\n"`, `"accessLogEncoding": "JSON"`,
	`"enableAutoMtls": false`, `"connectTimeout": "0.001s"`, `"protocolDetectionTimeout": "5s"`, `"defaultHttpRetryPolicy": {"attempts": 0}`, `"defaultServiceExportTo": ["."]`,
	`"defaultDestinationRuleExportTo": ["."]`, `"defaultVirtualServiceExportTo": ["~"]`, `"localityLbSetting": {"failover": [{"from": "r1", "to": "r2"}]}`, `"tcpKeepalive": {"time": "10s"}`,
	`"pathNormalization": {"normalization": "DECODE_AND_MERGE_SLASHES"}`, `"meshMTLS": {"minProtocolVersion": "TLSV1_3"}`, `"h2UpgradePolicy": "UPGRADE"`, `"enableTracing": true`,
	`"defaultProviders": {"accessLogging": ["log"], "tracing": ["otel"], "metrics": ["prometheus"]}`, `"dnsRefreshRate": "0.5s"`, `"verifyCertificateAtClient": true`, `"outboundClusterStatName": "%SERVICE%"`,
	`"discoverySelectors": [{"matchLabels": {"kubernetes.io/metadata.name": "a"}}, {"matchLabels": {"kubernetes.io/metadata.name": "calm"}}]`, `"inboundTrafficPolicy": {"mode": "LOCALHOST"}`,
	`"serviceSettings": [{"settings": {"clusterLocal": true}, "hosts": ["*.a.svc.cluster.local"]}]`, `"ingressSelector": "x"`, `"rootNamespace": "b"`, `"hboneIdleTimeout": "1s"`,
}

// config is a random mesh configuration.
func (s *Source) config() []byte {
	text := []byte(providers)
	for _, x := range settings {
		if s.One(12) {
			text = append(append(text, ", "...), x...)
		}
	}
	text = append(text, '}')
	if s.Tame || !s.One(3) {
		return text
	}
	c := &meshconfig.MeshConfig{}
	if err := protojson.Unmarshal(text, c); err != nil {
		panic(err) // settings are those of the API
	}
	s.Mutate(c.ProtoReflect(), 5)
	if out, err := protojson.Marshal(c); err == nil { // a text may hold bytes that are none
		return out
	}
	return text
}
