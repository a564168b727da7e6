package random

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Mutate changes one place somewhere in the message.
func (s *Source) Mutate(m protoreflect.Message, depth int) {
	fields, inner := held(m)
	if len(inner) > 0 && !s.One(4) && depth > 0 {
		s.Mutate(inner[s.N(len(inner))], depth-1)
		return
	}
	if len(fields) == 0 || s.One(3) {
		all := m.Descriptor().Fields()
		if all.Len() > 0 && !s.known(m) {
			s.set(m, all.Get(s.N(all.Len())), min(depth, 3))
		}
		return
	}
	s.change(m, fields[s.N(len(fields))], min(depth, 3))
}

// held are the fields of the message that are set, and the messages in them.
func held(m protoreflect.Message) (fields []protoreflect.FieldDescriptor, inner []protoreflect.Message) {
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		f := all.Get(i)
		if !m.Has(f) {
			continue
		}
		fields = append(fields, f)
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range m.Get(f).List().Len() {
				inner = append(inner, m.Get(f).List().Get(i).Message())
			}
		default:
			inner = append(inner, m.Get(f).Message())
		}
	}
	return fields, inner
}

// change alters a field that is set.
func (s *Source) change(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case s.One(4):
		m.Clear(f)
	case f.IsMap() && s.One(2):
		s.entry(m, f, depth)
	case f.IsList() && !s.One(3):
		s.changeList(m, f, depth)
	default:
		s.set(m, f, depth)
	}
}

// changeList alters a list: one element more, one fewer, one twice, two in
// another order.
func (s *Source) changeList(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	l := m.Mutable(f).List()
	n := l.Len()
	if n == 0 {
		s.element(m, f, depth)
		return
	}
	i, j := s.N(n), s.N(n)
	switch s.N(4) {
	case 0:
		s.element(m, f, depth)
	case 1:
		l.Set(i, l.Get(n-1))
		l.Truncate(n - 1)
	case 2:
		l.Append(copied(l, i))
	default:
		a, b := l.Get(i), l.Get(j)
		l.Set(i, b)
		l.Set(j, a)
	}
}

// copied is the element of a list, as one of its own.
func copied(l protoreflect.List, i int) protoreflect.Value {
	v := l.Get(i)
	if m, ok := v.Interface().(protoreflect.Message); ok {
		return protoreflect.ValueOfMessage(proto.Clone(m.Interface()).ProtoReflect())
	}
	return v
}
