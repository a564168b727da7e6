package mesh

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// Config is the mesh configuration in force. It never changes.
type Config struct {
	*meshconfig.MeshConfig
	Ref Ref // where it came from; zero: the defaults
}

// Domain is the DNS suffix of the cluster's services.
const Domain = "cluster.local"

// DefaultConfig is Istio's MeshConfig with Istio's defaults.
func DefaultConfig() *Config {
	return &Config{MeshConfig: &meshconfig.MeshConfig{
		RootNamespace:            "istio-system",
		TrustDomain:              Domain,
		OutboundTrafficPolicy:    &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY},
		InboundTrafficPolicy:     &meshconfig.MeshConfig_InboundTrafficPolicy{Mode: meshconfig.MeshConfig_InboundTrafficPolicy_PASSTHROUGH},
		EnableAutoMtls:           wrapperspb.Bool(true),
		ConnectTimeout:           durationpb.New(10e9),
		ProtocolDetectionTimeout: durationpb.New(0),
		DnsRefreshRate:           durationpb.New(60e9),
		AccessLogEncoding:        meshconfig.MeshConfig_TEXT,
	}}
}

// parseConfig reads a MeshConfig over the defaults. Unknown fields are
// findings, the rest is used; when the YAML cannot be read at all, the error
// says why.
func parseConfig(ref Ref, text []byte) (*Config, []Finding, error) {
	js, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the mesh configuration: %w", err)
	}
	c := DefaultConfig()
	c.Ref = ref
	read := &meshconfig.MeshConfig{}
	var findings []Finding
	if err := protojson.Unmarshal(js, read); err != nil {
		read = &meshconfig.MeshConfig{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(js, read); err != nil {
			return nil, nil, fmt.Errorf("reading the mesh configuration: %w", err)
		}
		findings = append(findings, Finding{Object: ref, Code: CodeUnsupported, Message: fmt.Sprintf("a field is not known and ignored: %v", err)})
	}
	proto.Merge(c.MeshConfig, read)
	if read.OutboundTrafficPolicy != nil { // explicit enums of value zero are not merged
		c.OutboundTrafficPolicy = read.OutboundTrafficPolicy
	}
	if read.InboundTrafficPolicy != nil {
		c.InboundTrafficPolicy = read.InboundTrafficPolicy
	}
	if c.RootNamespace == "" {
		c.RootNamespace = "istio-system"
	}
	return c, findings, nil
}

// RegistryOnly tells whether proxies reach nothing but what the mesh knows
// (outboundTrafficPolicy REGISTRY_ONLY).
func (c *Config) RegistryOnly() bool {
	return c.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
}

func (c *Config) equal(o *Config) bool {
	return c.Ref == o.Ref && proto.Equal(c.MeshConfig, o.MeshConfig)
}

// AsksLocality tells whether the mesh's defaults make endpoints of every
// service depend on where the client runs.
func (c *Config) AsksLocality() bool {
	return c.LocalityLbSetting != nil && (len(c.LocalityLbSetting.Distribute) > 0 || len(c.LocalityLbSetting.Failover) > 0) || c.GetDefaultTrafficPolicy().GetOutlierDetection() != nil
}
