package telemetry

import (
	"cmp"
	"maps"
	"slices"

	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// spanTags are the tags of spans beside Envoy's own, by name: Istio's, then
// those of the Telemetry objects or else of MeshConfig.defaultConfig.tracing.
func (r Report) spanTags(c traceChoice) []*tracingv3.CustomTag {
	tags := map[string]*tracingv3.CustomTag{}
	if c.istio {
		r.istioTags(tags)
	}
	wanted := c.tags
	if len(wanted) == 0 {
		wanted = proxyTags(r.config)
	}
	for name, t := range wanted {
		if tag, problem := spanTag(name, t); problem == "" {
			tags[name] = tag
		}
	}
	out := make([]*tracingv3.CustomTag, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tags[name])
	}
	return out
}

// istioTags say whose proxy it is, and what policies on trial would have done.
func (r Report) istioTags(tags map[string]*tracingv3.CustomTag) {
	set := func(name, format string) {
		tags["istio."+name] = &tracingv3.CustomTag{Tag: "istio." + name, Type: &tracingv3.CustomTag_Value{Value: format}}
	}
	if w := r.Local; w != nil {
		set("canonical_service", literal(w.CanonicalName))
		set("canonical_revision", literal(w.CanonicalRevision))
		set("namespace", literal(w.Namespace))
	} else {
		set("canonical_service", ofLabels(nodeText("WORKLOAD_NAME"), canonicalNames...))
		set("canonical_revision", ofLabels("'latest'", canonicalRevisions...))
		set("namespace", ofNode("NAMESPACE"))
	}
	set("cluster_id", ofNode("CLUSTER_ID"))
	set("mesh_id", literal(cmp.Or(r.config.GetDefaultConfig().GetMeshId(), r.config.GetTrustDomain())))
	for _, action := range []string{"allow", "deny"} {
		for name, key := range map[string]string{"name": "shadow_effective_policy_id", "result": "shadow_engine_result"} {
			full := "istio.authorization.dry_run." + action + "_policy." + name
			tags[full] = &tracingv3.CustomTag{Tag: full, Type: &tracingv3.CustomTag_Metadata_{Metadata: &tracingv3.CustomTag_Metadata{
				Kind: &metadatav3.MetadataKind{Kind: &metadatav3.MetadataKind_Request_{Request: &metadatav3.MetadataKind_Request{}}},
				MetadataKey: &metadatav3.MetadataKey{Key: "envoy.filters.http.rbac", Path: []*metadatav3.MetadataKey_PathSegment{
					{Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: "istio_dry_run_" + action + "_" + key}},
				}},
			}}}
		}
	}
}

// proxyTags are the tags of MeshConfig.defaultConfig.tracing in the words of
// Telemetry objects.
func proxyTags(c *mesh.Config) map[string]*telemetryapi.Tracing_CustomTag {
	out := map[string]*telemetryapi.Tracing_CustomTag{}
	for name, t := range maps.All(c.GetDefaultConfig().GetTracing().GetCustomTags()) {
		tag := &telemetryapi.Tracing_CustomTag{}
		switch from := t.GetType().(type) {
		case *meshconfig.Tracing_CustomTag_Literal:
			tag.Type = &telemetryapi.Tracing_CustomTag_Literal{Literal: &telemetryapi.Tracing_Literal{Value: from.Literal.GetValue()}}
		case *meshconfig.Tracing_CustomTag_Environment:
			tag.Type = &telemetryapi.Tracing_CustomTag_Environment{Environment: &telemetryapi.Tracing_Environment{Name: from.Environment.GetName(), DefaultValue: from.Environment.GetDefaultValue()}}
		case *meshconfig.Tracing_CustomTag_Header:
			tag.Type = &telemetryapi.Tracing_CustomTag_Header{Header: &telemetryapi.Tracing_RequestHeader{Name: from.Header.GetName(), DefaultValue: from.Header.GetDefaultValue()}}
		}
		out[name] = tag
	}
	return out
}

// spanTag is Envoy's form of a custom tag, or why there is none.
func spanTag(name string, t *telemetryapi.Tracing_CustomTag) (tag *tracingv3.CustomTag, problem string) {
	tag = &tracingv3.CustomTag{Tag: name}
	if name == "" {
		return nil, "the tag has no name"
	}
	switch from := t.GetType().(type) {
	case *telemetryapi.Tracing_CustomTag_Literal:
		if from.Literal.GetValue() == "" {
			return nil, "literal.value is empty"
		}
		tag.Type = &tracingv3.CustomTag_Literal_{Literal: &tracingv3.CustomTag_Literal{Value: from.Literal.GetValue()}}
	case *telemetryapi.Tracing_CustomTag_Environment:
		if from.Environment.GetName() == "" {
			return nil, "environment.name is empty"
		}
		tag.Type = &tracingv3.CustomTag_Environment_{Environment: &tracingv3.CustomTag_Environment{Name: from.Environment.GetName(), DefaultValue: from.Environment.GetDefaultValue()}}
	case *telemetryapi.Tracing_CustomTag_Header:
		if !traffic.SettableHeader(from.Header.GetName(), "") {
			return nil, "header.name is not the name of a header"
		}
		tag.Type = &tracingv3.CustomTag_RequestHeader{RequestHeader: &tracingv3.CustomTag_Header{Name: from.Header.GetName(), DefaultValue: from.Header.GetDefaultValue()}}
	case *telemetryapi.Tracing_CustomTag_Formatter:
		if from.Formatter.GetValue() == "" || !plausibleFormat(from.Formatter.GetValue()) {
			return nil, "formatter.value is empty or has a command that Envoy does not know"
		}
		tag.Type = &tracingv3.CustomTag_Value{Value: from.Formatter.GetValue()}
	default:
		return nil, "the tag has no value: give one of literal, environment, header and formatter"
	}
	return tag, ""
}
