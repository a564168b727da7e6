package snapshot

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// outboundPrefix begins the names of the clusters of hosts.
const outboundPrefix = "outbound|"

// refersTo are the clusters of hosts that a resource names, wherever it names them, each
// once: routes, mirrors, TCP proxies, authorization, collectors of logs and traces.
func refersTo(r *Resource) []string {
	kind, err := protoregistry.GlobalTypes.FindMessageByURL(r.Type.TypeURL())
	if err != nil { // a type of this program
		return nil
	}
	m := kind.New().Interface()
	if proto.Unmarshal(r.Body(), m) != nil { // it was encoded here
		return nil
	}
	var found []string
	clusterNames(m.ProtoReflect(), &found)
	slices.Sort(found)
	return slices.Clip(slices.Compact(found))
}

func clusterNames(m protoreflect.Message, found *[]string) {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		if inner, err := packed.UnmarshalNew(); err == nil {
			clusterNames(inner.ProtoReflect(), found)
		}
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		look := func(field protoreflect.FieldDescriptor, v protoreflect.Value) {
			switch {
			case field.Message() != nil:
				clusterNames(v.Message(), found)
			case field.Kind() == protoreflect.StringKind && strings.HasPrefix(v.String(), outboundPrefix):
				*found = append(*found, v.String())
			}
		}
		switch {
		case field.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
				look(field.MapValue(), value)
				return true
			})
		case field.IsList():
			for i := range v.List().Len() {
				look(field, v.List().Get(i))
			}
		default:
			look(field, v)
		}
		return true
	})
}
