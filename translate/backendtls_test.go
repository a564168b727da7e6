package translate

import (
	"slices"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// tlsPolicy is a BackendTLSPolicy for Service web of the default namespace.
func tlsPolicy(name string, age int64, change func(*gatewayv1.BackendTLSPolicySpec)) mesh.Change {
	system := gatewayv1.WellKnownCACertificatesSystem
	o := &gatewayv1.BackendTLSPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(age, 0))}, Spec: gatewayv1.BackendTLSPolicySpec{
		TargetRefs: []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: "Service", Name: "web"}}},
		Validation: gatewayv1.BackendTLSPolicyValidation{Hostname: "web.example", WellKnownCACertificates: &system},
	}}
	if change != nil {
		change(&o.Spec)
	}
	return mesh.Change{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "default", Name: name}, Object: o}
}

func named(kind gatewayv1.Kind, name gatewayv1.ObjectName) func(*gatewayv1.BackendTLSPolicySpec) {
	return func(s *gatewayv1.BackendTLSPolicySpec) {
		s.Validation.WellKnownCACertificates = nil
		s.Validation.CACertificateRefs = []gatewayv1.LocalObjectReference{{Kind: kind, Name: name}}
	}
}

// spokenTo is how gateways speak TLS to a port of Service web; nil: not at all.
func spokenTo(t *testing.T, port uint32, changes ...mesh.Change) *tlsv3.UpstreamTlsContext {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: "default", Name: "web"}
	w := mesh.Build(append(changes,
		mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "default", Name: "web"}, Object: &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.9", Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}}}}},
		mesh.Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "default", Name: "empty"}, Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "empty"}, Data: map[string]string{"ca.crt": ""}}},
		mesh.Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "default", Name: "broken"}, Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "broken"}, Data: map[string]string{"ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}}},
	))
	v := w.View(mesh.Scope{Role: mesh.RoleRouter, Namespace: "default"})
	for _, in := range ResolveDestination(v, "web.default.svc.cluster.local") {
		if in.Port != port {
			continue
		}
		c, _ := Cluster(in, nil)
		out := &tlsv3.UpstreamTlsContext{}
		if c.TransportSocket.GetTypedConfig() == nil {
			return nil
		}
		if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("no cluster for port %d", port)
	return nil
}

// accepts are the names of which the server's certificate must bear one.
func accepts(c *tlsv3.UpstreamTlsContext) (out []string) {
	v := c.GetCommonTlsContext().GetValidationContext()
	if combined := c.GetCommonTlsContext().GetCombinedValidationContext(); combined != nil {
		v = combined.DefaultValidationContext
	}
	for _, m := range v.GetMatchTypedSubjectAltNames() {
		out = append(out, m.Matcher.GetExact())
	}
	return out
}

// TestBackendTLSPolicies: a policy has TLS spoken, to servers that it verifies; the oldest
// decides, and the closest to a port; what is wrong with one lets nobody in.
func TestBackendTLSPolicies(t *testing.T) {
	if c := spokenTo(t, 80); c != nil {
		t.Errorf("TLS is spoken without a policy: %v", c)
	}
	section := gatewayv1.SectionName("https")
	onPort := func(s *gatewayv1.BackendTLSPolicySpec) {
		s.TargetRefs[0].SectionName = &section
		s.Validation.Hostname = "port.example"
	}
	other := func(s *gatewayv1.BackendTLSPolicySpec) { s.Validation.Hostname = "other.example" }
	for _, c := range []struct {
		name     string
		port     uint32
		policies []mesh.Change
		sni      string
		names    []string
	}{
		{"one", 80, []mesh.Change{tlsPolicy("a", 2, nil)}, "web.example", []string{"web.example"}},
		{"the oldest", 80, []mesh.Change{tlsPolicy("a", 2, other), tlsPolicy("b", 1, nil)}, "web.example", []string{"web.example"}},
		{"of one age", 80, []mesh.Change{tlsPolicy("b", 1, other), tlsPolicy("a", 1, nil)}, "web.example", []string{"web.example"}},
		{"for a port", 443, []mesh.Change{tlsPolicy("a", 1, nil), tlsPolicy("b", 2, onPort)}, "port.example", []string{"port.example"}},
		{"for another port", 80, []mesh.Change{tlsPolicy("a", 1, nil), tlsPolicy("b", 2, onPort)}, "web.example", []string{"web.example"}},
		{"names", 80, []mesh.Change{tlsPolicy("a", 1, func(s *gatewayv1.BackendTLSPolicySpec) {
			s.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: "Hostname", Hostname: "x.example"}, {Type: "URI", URI: "spiffe://a/b"}}
		})}, "web.example", []string{"x.example", "spiffe://a/b"}},
		{"no ConfigMap", 80, []mesh.Change{tlsPolicy("a", 1, named("ConfigMap", "nowhere"))}, "web.example", []string{traffic.NobodysName}},
		{"an empty ConfigMap", 80, []mesh.Change{tlsPolicy("a", 1, named("ConfigMap", "empty"))}, "web.example", []string{traffic.NobodysName}},
		{"a broken ConfigMap", 80, []mesh.Change{tlsPolicy("a", 1, named("ConfigMap", "broken"))}, "web.example", []string{traffic.NobodysName}},
		{"a kind that is not known", 80, []mesh.Change{tlsPolicy("a", 1, named("Secret", "roots"))}, "web.example", []string{traffic.NobodysName}},
		{"roots that are not known", 80, []mesh.Change{tlsPolicy("a", 1, func(s *gatewayv1.BackendTLSPolicySpec) {
			*s.Validation.WellKnownCACertificates = "a.example/roots"
		})}, "web.example", []string{traffic.NobodysName}},
		{"a name of the wrong type", 80, []mesh.Change{tlsPolicy("a", 1, func(s *gatewayv1.BackendTLSPolicySpec) {
			s.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: "Hostname"}}
		})}, "web.example", []string{traffic.NobodysName}},
		{"no hostname", 80, []mesh.Change{tlsPolicy("a", 1, func(s *gatewayv1.BackendTLSPolicySpec) { s.Validation.Hostname = "" })}, "", []string{traffic.NobodysName}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := spokenTo(t, c.port, c.policies...)
			if got == nil {
				t.Fatal("no TLS is spoken")
			}
			if got.Sni != c.sni || !slices.Equal(accepts(got), c.names) {
				t.Errorf("the server is asked for as %q and must be one of %q, want %q and %q", got.Sni, accepts(got), c.sni, c.names)
			}
			common := got.GetCommonTlsContext()
			nobody := common.GetValidationContext().GetTrustedCa().GetInlineString() != ""
			if closed := slices.Equal(c.names, []string{traffic.NobodysName}); nobody != closed || !closed && common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName() == "" {
				t.Errorf("it is verified by %v", common.GetValidationContextType())
			}
		})
	}
}

// TestNoClusterNamesFiles: what Envoy cannot read of the files that TLS settings of rules and
// policies name, those of its image included, is never a reason to refuse a cluster: Envoy
// would go on with the one before, which may speak no TLS.
func TestNoClusterNamesFiles(t *testing.T) {
	rule := func(tls *networking.ClientTLSSettings) mesh.Change {
		return mesh.Change{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "default", Name: "r"}, Object: &networkingv1.DestinationRule{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "r"}, Spec: networking.DestinationRule{Host: "web", TrafficPolicy: &networking.TrafficPolicy{Tls: tls}}}}
	}
	for name, c := range map[string]mesh.Change{
		"a policy":               tlsPolicy("a", 1, nil),
		"a policy without roots": tlsPolicy("a", 1, named("ConfigMap", "nowhere")),
		"SIMPLE":                 rule(&networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE}),
		"SIMPLE, system":         rule(&networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, CaCertificates: "system"}),
		"SIMPLE, a file":         rule(&networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, CaCertificates: "/ca", CaCrl: "/crl"}),
		"MUTUAL, files":          rule(&networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_MUTUAL, ClientCertificate: "/c", PrivateKey: "/k"}),
		"MUTUAL, a Secret":       rule(&networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_MUTUAL, CredentialName: "s"}),
	} {
		got := spokenTo(t, 80, c)
		if got == nil {
			t.Errorf("%s: no TLS is spoken", name)
		} else if text := protojson.Format(got); strings.Contains(text, `"filename"`) {
			t.Errorf("%s: the cluster names a file: %s", name, text)
		}
	}
}
