package mesh

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/annotation"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// ProxyConfigAnnotation holds a part of a ProxyConfig for one Pod, in YAML.
const ProxyConfigAnnotation = "proxy.istio.io/config"

// TopologyOf is what stands before a gateway (ProxyConfig.gatewayTopology): as
// the mesh's configuration says, and over it, field by field, the annotation of
// the gateway's Pod. Without the annotation it is the configuration's own.
func (c *Config) TopologyOf(w *registry.Workload) (*meshconfig.Topology, []object.Finding) {
	base := c.GetDefaultConfig().GetGatewayTopology()
	text := w.Annotations[ProxyConfigAnnotation]
	if text == "" {
		return base, nil
	}
	own, err := topology(text)
	if err != nil {
		return base, []object.Finding{{Object: w.Ref, Field: "metadata.annotations[" + ProxyConfigAnnotation + "]", Code: object.CodeInvalid,
			Message: fmt.Sprintf("%v; the gatewayTopology of the mesh applies: mend the annotation", err)}}
	}
	out := &meshconfig.Topology{}
	proto.Merge(out, base)
	proto.Merge(out, own)
	return out, nil
}

// topology reads the field gatewayTopology of a ProxyConfig.
func topology(text string) (*meshconfig.Topology, error) {
	var fields struct {
		Topology json.RawMessage `json:"gatewayTopology"`
	}
	if err := annotation.Read(text, &fields); err != nil {
		return nil, fmt.Errorf("the annotation is no ProxyConfig: %w", err)
	}
	out := &meshconfig.Topology{}
	if len(fields.Topology) == 0 || string(fields.Topology) == "null" {
		return out, nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(fields.Topology, out); err != nil {
		return nil, fmt.Errorf("reading gatewayTopology: %w", err)
	}
	return out, nil
}
