package mesh

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Config is the mesh configuration in force. It never changes.
type Config struct {
	*meshconfig.MeshConfig
	Settings            // the section `fairway`
	Ref      object.Ref // where it came from; zero: the defaults
}

// DefaultConfig is Istio's MeshConfig with Istio's defaults.
func DefaultConfig() *Config {
	return &Config{Settings: DefaultSettings(), MeshConfig: &meshconfig.MeshConfig{
		RootNamespace:            "istio-system",
		TrustDomain:              object.Domain,
		OutboundTrafficPolicy:    &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY},
		InboundTrafficPolicy:     &meshconfig.MeshConfig_InboundTrafficPolicy{Mode: meshconfig.MeshConfig_InboundTrafficPolicy_PASSTHROUGH},
		EnableAutoMtls:           wrapperspb.Bool(true),
		EnableTracing:            true,
		ConnectTimeout:           durationpb.New(10e9),
		ProtocolDetectionTimeout: durationpb.New(0),
		DnsRefreshRate:           durationpb.New(60e9),
		AccessLogEncoding:        meshconfig.MeshConfig_TEXT,
	}}
}

// parseConfig reads a MeshConfig over the defaults. Unknown fields are
// findings, the rest is used; when the YAML cannot be read at all, the error
// says why.
func parseConfig(ref object.Ref, text []byte) (*Config, []object.Finding, error) {
	js, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the mesh configuration: %w", err)
	}
	c := DefaultConfig()
	c.Ref = ref
	// Read as the other kinds are: durations may be any that time.ParseDuration knows.
	read := &meshconfig.MeshConfig{}
	if err := read.UnmarshalJSON(js); err != nil {
		return nil, nil, findMisread(js, err)
	}
	var fields any
	if err := json.Unmarshal(js, &fields); err != nil {
		return nil, nil, fmt.Errorf("reading the mesh configuration: %w", err)
	}
	var own struct {
		Fairway json.RawMessage `json:"fairway"`
	}
	if err := json.Unmarshal(js, &own); err != nil {
		return nil, nil, fmt.Errorf("reading the mesh configuration: %w", err)
	}
	var findings []object.Finding
	c.Settings, findings = parseSettings(ref, own.Fairway)
	if given, ok := fields.(map[string]any); ok {
		delete(given, "fairway")
	}
	for _, f := range unknownFields("", fields, read.ProtoReflect().Descriptor()) {
		findings = append(findings, object.Finding{Object: ref, Field: f, Code: object.CodeUnsupported, Message: "unknown field: it is ignored; correct its name or its place, or take it out"})
	}
	findings = append(findings, c.checkUnread(read.ProtoReflect())...)
	findings = append(findings, checkRanges(ref, read)...)
	findings = append(findings, traffic.CheckDefaults(ref, read)...)
	// What is given replaces the default as a whole: merging would add a duration of
	// 500 ms to one of 10 s, and keep true where false is given.
	read.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		c.MeshConfig.ProtoReflect().Set(field, value)
		return true
	})
	if given, ok := fields.(map[string]any); ok && given["enableTracing"] != nil { // false looks like nothing
		c.EnableTracing = read.EnableTracing
	}
	if c.RootNamespace == "" {
		c.RootNamespace = "istio-system"
	}
	return c, slices.Concat(findings, c.checkTLS(), c.checkTracing(), c.checkOutbound()), nil
}

// unknownFields are the paths of what is in a value and not in a message.
func unknownFields(at string, value any, message protoreflect.MessageDescriptor) (paths []string) {
	fields, ok := value.(map[string]any)
	if !ok || strings.HasPrefix(string(message.FullName()), "google.protobuf.") {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		path := strings.TrimPrefix(at+"."+name, ".")
		f := message.Fields().ByJSONName(name)
		if f == nil {
			f = message.Fields().ByName(protoreflect.Name(name))
		}
		if f == nil {
			paths = append(paths, path)
			continue
		}
		inner := f.Message()
		if f.IsMap() {
			inner = nil // by keys that people choose
		}
		if inner == nil {
			continue
		}
		if list, ok := fields[name].([]any); ok {
			for i, element := range list {
				paths = append(paths, unknownFields(fmt.Sprintf("%s[%d]", path, i), element, inner)...)
			}
			continue
		}
		paths = append(paths, unknownFields(path, fields[name], inner)...)
	}
	return paths
}

// RegistryOnly tells whether proxies reach nothing but what the mesh knows
// (outboundTrafficPolicy REGISTRY_ONLY).
func (c *Config) RegistryOnly() bool {
	return c.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
}

// ResolvesUnknown tells whether proxies resolve the names that requests carry for hosts
// which the mesh does not know (outboundTrafficPolicy, ALLOW_ANY_DYNAMIC_DNS).
func (c *Config) ResolvesUnknown() bool {
	return c.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY_DYNAMIC_DNS
}

func (c *Config) equal(o *Config) bool {
	return c.Ref == o.Ref && c.Settings == o.Settings && proto.Equal(c.MeshConfig, o.MeshConfig)
}

// AsksLocality tells whether the mesh's defaults make endpoints of every
// service depend on where the client runs.
func (c *Config) AsksLocality() bool {
	return c.LocalityLbSetting != nil && (len(c.LocalityLbSetting.Distribute) > 0 || len(c.LocalityLbSetting.Failover) > 0) || c.GetDefaultTrafficPolicy().GetOutlierDetection() != nil
}

// TrustDomains are the mesh's trust domain and its aliases, each once.
func (c *Config) TrustDomains() []string {
	out := []string{c.GetTrustDomain()}
	if out[0] == "" {
		out[0] = object.Domain
	}
	for _, a := range c.GetTrustDomainAliases() {
		if a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
