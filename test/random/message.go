package random

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Source makes random objects of the words of one mesh.
type Source struct {
	*Choices
	Words Words
	// Tame keeps to what a proxy of this machine can do: mesh configurations
	// name no files of their own.
	Tame bool
}

// needed are fields without which an object says nothing; they are left out
// rarely.
var needed = map[string]bool{
	"host": true, "hosts": true, "port": true, "number": true, "protocol": true, "destination": true, "route": true, "http": true, "servers": true, "ports": true, "mode": true,
	"endpoints": true, "address": true, "subsets": true, "issuer": true, "rules": true, "key": true, "values": true, "egress": true, "mtls": true, "resolution": true, "traffic_policy": true,
	"Subset.name": true, "Subset.labels": true, "selector": true, "MetricSelector.metric": true,
}

// Fill gives the message fields at random, nested depth deep.
func (s *Source) Fill(m protoreflect.Message, depth int) {
	d := m.Descriptor()
	if s.known(m) {
		return
	}
	for i := range d.Oneofs().Len() {
		of := d.Oneofs().Get(i).Fields()
		if !d.Oneofs().Get(i).IsSynthetic() && !s.One(4) {
			s.set(m, of.Get(s.N(of.Len())), depth)
		}
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if f.ContainingOneof() != nil {
			continue
		}
		if s.wants(d, f) {
			s.set(m, f, depth)
		}
	}
}

func (s *Source) wants(d protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) bool {
	if needed[string(f.Name())] || needed[string(d.Name())+"."+string(f.Name())] {
		return !s.One(8)
	}
	return s.One(4)
}

// known fills messages whose fields say nothing of what they hold.
func (s *Source) known(m protoreflect.Message) bool {
	value := m.Descriptor().Fields().ByName("value")
	switch m.Descriptor().FullName() {
	case "google.protobuf.Duration":
		n := pick(s.Choices, [2]int64{1, 0}, [2]int64{10, 0}, [2]int64{0, 5e6}, [2]int64{0, 1e8}, [2]int64{3600, 0}, [2]int64{0, 0}, [2]int64{-1, 0}, [2]int64{0, 1}, [2]int64{315576000000, 0}, [2]int64{1, -1})
		m.Set(m.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(n[0]))
		m.Set(m.Descriptor().Fields().ByName("nanos"), protoreflect.ValueOfInt32(int32(n[1])))
		return true
	case "google.protobuf.BoolValue", "google.protobuf.UInt32Value", "google.protobuf.Int32Value", "google.protobuf.Int64Value", "google.protobuf.UInt64Value", "google.protobuf.DoubleValue", "google.protobuf.StringValue":
		m.Set(value, s.scalar("Wrapper", value, false))
		return true
	case "google.protobuf.Struct", "google.protobuf.Any":
		return true
	}
	return false
}

// set gives one field a new value.
func (s *Source) set(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	name := string(m.Descriptor().Name())
	if depth <= 0 && f.Message() != nil && !f.IsMap() {
		return
	}
	switch {
	case f.IsMap():
		m.Clear(f)
		for range 1 + s.N(2) {
			s.entry(m, f, depth)
		}
	case f.IsList():
		m.Clear(f)
		for range 1 + s.N(2) + s.N(2) {
			s.element(m, f, depth)
		}
	case f.Message() != nil:
		m.Clear(f)
		s.Fill(m.Mutable(f).Message(), depth-1)
	default:
		m.Set(f, s.scalar(name, f, false))
	}
}

// entry puts one entry into a map.
func (s *Source) entry(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	name := string(m.Descriptor().Name())
	to := m.Mutable(f).Map()
	k := protoreflect.ValueOfString(s.text(name, string(f.Name()), true)).MapKey()
	if f.MapKey().Kind() != protoreflect.StringKind {
		k = s.scalar(name, f.MapKey(), true).MapKey()
	}
	v := to.NewValue()
	switch {
	case f.MapValue().Message() != nil:
		s.Fill(v.Message(), depth-1)
	case f.MapValue().Kind() == protoreflect.StringKind:
		v = protoreflect.ValueOfString(s.text(name, string(f.Name()), false))
	default:
		v = s.scalar(name, f.MapValue(), false)
	}
	to.Set(k, v)
}

// element appends one element to a list.
func (s *Source) element(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	l := m.Mutable(f).List()
	if f.Message() == nil {
		l.Append(s.scalar(string(m.Descriptor().Name()), f, false))
		return
	}
	s.Fill(l.AppendMutable().Message(), depth-1)
}

// text is a word for a field, at times one that fits nowhere.
func (s *Source) text(message, field string, key bool) string {
	words := s.Words.of(message, field, key)
	if s.One(24) && len(words) > 1 {
		return pick(s.Choices, awkward...)
	}
	return pick(s.Choices, words...)
}

// numbers are what number fields hold, by the name of the field.
var numbers = map[string][]int64{
	"number":      {80, 80, 81, 443, 8080, 9090, 15001, 15021, 0, 70000},
	"port":        {80, 80, 81, 443, 8080, 9090, 15006, 0, 70000},
	"target_port": {8080, 8081, 0, 15090, 70000},
	"weight":      {0, 1, 50, 100, -1, 2147483647},
	"status":      {200, 404, 503, 599, 0, 1000, 100},
	"http_status": {200, 503, 0, 1000},
	"percent":     {0, 1, 50, 100, -1, 101},
	"":            {0, 1, 2, 5, 10, 100, 1024, -1, 1 << 30, 2147483647},
}

func (s *Source) scalar(message string, f protoreflect.FieldDescriptor, key bool) protoreflect.Value {
	of, ok := numbers[string(f.Name())]
	if !ok {
		of = numbers[""]
	}
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(s.text(message, string(f.Name()), key))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(pick(s.Choices, "body", "", "\xff\x00")))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(s.One(2))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(pick(s.Choices, 0.1, 0, 33.3, 100, -1, 101))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(pick[float32](s.Choices, 0.1, 0, 33.3, 100, -1, 101))
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(s.N(values.Len())).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(pick(s.Choices, of...)))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(pick(s.Choices, of...))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(max(0, pick(s.Choices, of...))))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(max(0, pick(s.Choices, of...))))
	}
	panic("random: no value for " + string(f.FullName()))
}
