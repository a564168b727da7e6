// Package anyfield gives fields of Protobuf messages some value, for tests that walk over all
// of them.
package anyfield

import "google.golang.org/protobuf/reflect/protoreflect"

// Set gives a field of a message some value that is not its default.
func Set(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		l := m.Mutable(f).List()
		l.Append(value(f, l.NewElement))
	case f.IsMap():
		m.Mutable(f).Map().Set(protoreflect.ValueOfString("a").MapKey(), value(f.MapValue(), m.Mutable(f).Map().NewValue))
	default:
		m.Set(f, value(f, func() protoreflect.Value { return m.NewField(f) }))
	}
}

func value(f protoreflect.FieldDescriptor, fresh func() protoreflect.Value) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("a")
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	}
	return fresh()
}
