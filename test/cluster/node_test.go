package cluster_test

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
)

// node is what the proxy of a pod says of itself.
func node(role string, pod *corev1.Pod) *corev3.Node {
	ip := pod.Status.PodIP
	if ip == "" {
		ip = "10.0.0.1"
	}
	return &corev3.Node{
		Id: role + "~" + ip + "~" + pod.Name + "." + pod.Namespace + "~" + pod.Namespace + ".svc.cluster.local",
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"NAMESPACE": stringValue(pod.Namespace), "SERVICE_ACCOUNT": stringValue(pod.Spec.ServiceAccountName),
		}},
		UserAgentName: "envoy",
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{
			Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40}}},
	}
}

// renamed is the node with another pod's name.
func renamed(n *corev3.Node, name string) *corev3.Node {
	parts := strings.Split(n.GetId(), "~")
	_, namespace, _ := strings.Cut(parts[2], ".")
	parts[2] = name + "." + namespace
	n.Id = strings.Join(parts, "~")
	return n
}

func stringValue(s string) *structpb.Value { return structpb.NewStringValue(s) }

// certificates are the identities in the secrets of an answer.
func certificates(t *testing.T, answer *discoveryv3.DeltaDiscoveryResponse) string {
	t.Helper()
	var out []string
	for _, r := range answer.GetResources() {
		var secret tlsv3.Secret
		if err := r.GetResource().UnmarshalTo(&secret); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(secret.GetTlsCertificate().GetCertificateChain().GetInlineBytes())
		if block == nil {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range c.URIs {
			out = append(out, u.String())
		}
	}
	return strings.Join(out, " ")
}
