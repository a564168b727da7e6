package fields_test

import (
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// shape is what a value of some type looks like in JSON.
type shape struct {
	of     string // name of the type
	kind   reflect.Kind
	enum   []string      // names of values, the default first
	fields []field       // of an object
	elem   func() *shape // of a list or of the values of a map
}

// field is one of an object.
type field struct {
	name  string // in JSON
	of    string // the type that has it
	shape func() *shape
}

// key names the field wherever objects of its type stand.
func (f field) key() string { return f.of + "." + f.name }

// protoShape is the shape of a message of the Istio API.
func protoShape(d protoreflect.MessageDescriptor) *shape {
	s := &shape{of: string(d.Name()), kind: reflect.Struct}
	switch d.FullName() {
	case "google.protobuf.Duration", "google.protobuf.Timestamp":
		return &shape{of: "Duration", kind: reflect.String}
	case "google.protobuf.BoolValue":
		return &shape{of: "Bool", kind: reflect.Bool}
	case "google.protobuf.DoubleValue":
		return &shape{of: "Double", kind: reflect.Float64}
	case "google.protobuf.UInt32Value", "google.protobuf.Int32Value", "google.protobuf.Int64Value", "google.protobuf.UInt64Value":
		return &shape{of: "Number", kind: reflect.Int}
	case "google.protobuf.StringValue":
		return &shape{of: "String", kind: reflect.String}
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		s.fields = append(s.fields, field{name: f.JSONName(), of: s.of, shape: func() *shape { return protoField(f) }})
	}
	return s
}

func protoField(f protoreflect.FieldDescriptor) *shape {
	switch {
	case f.IsMap():
		return &shape{of: string(f.Name()), kind: reflect.Map, elem: func() *shape { return protoValue(f.MapValue()) }}
	case f.IsList():
		return &shape{of: string(f.Name()), kind: reflect.Slice, elem: func() *shape { return protoValue(f) }}
	}
	return protoValue(f)
}

func protoValue(f protoreflect.FieldDescriptor) *shape {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return protoShape(f.Message())
	case protoreflect.EnumKind:
		s := &shape{of: string(f.Enum().Name()), kind: reflect.String}
		for i := range f.Enum().Values().Len() {
			s.enum = append(s.enum, string(f.Enum().Values().Get(i).Name()))
		}
		return s
	case protoreflect.BoolKind:
		return &shape{of: "bool", kind: reflect.Bool}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return &shape{of: "string", kind: reflect.String}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return &shape{of: "double", kind: reflect.Float64}
	}
	return &shape{of: "number", kind: reflect.Int}
}

// goShape is the shape of a Go type of Kubernetes.
func goShape(t reflect.Type) *shape {
	switch t.String() {
	case "v1.Time", "v1.MicroTime":
		return &shape{of: "Time", kind: reflect.String}
	case "intstr.IntOrString":
		return &shape{of: "IntOrString", kind: reflect.Int}
	case "resource.Quantity":
		return &shape{of: "Quantity", kind: reflect.String}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return goShape(t.Elem())
	case reflect.Struct:
		s := &shape{of: t.Name(), kind: reflect.Struct}
		s.fields = goFields(t)
		return s
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &shape{of: "bytes", kind: reflect.String}
		}
		return &shape{of: t.String(), kind: reflect.Slice, elem: func() *shape { return goShape(t.Elem()) }}
	case reflect.Map:
		return &shape{of: t.String(), kind: reflect.Map, elem: func() *shape { return goShape(t.Elem()) }}
	case reflect.String:
		return &shape{of: t.Name(), kind: reflect.String}
	case reflect.Bool:
		return &shape{of: "bool", kind: reflect.Bool}
	}
	return &shape{of: t.Name(), kind: reflect.Int}
}

func goFields(t reflect.Type) (out []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			out = append(out, goFields(f.Type)...)
			continue
		}
		if name != "-" && name != "" {
			out = append(out, field{name: name, of: t.Name(), shape: func() *shape { return goShape(f.Type) }})
		}
	}
	return slices.Clip(out)
}
