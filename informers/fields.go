package informers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	kjson "sigs.k8s.io/json"
)

// checkSpec compares the JSON of an object with the message that its spec is:
// the paths of fields that the message does not have, and the first value that
// its field cannot hold (nil when there is none).
func checkSpec(js []byte, m proto.Message) (unknown []string, wrong *mismatch) {
	var top struct {
		Spec any `json:"spec"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(js, &top); err != nil || top.Spec == nil {
		return nil, nil
	}
	c := &checker{}
	c.message("spec", top.Spec, m.ProtoReflect().Descriptor())
	return c.unknown, c.wrong
}

// maxUnknown bounds the fields that are named to the owner of one object. Each
// is a path, as long as the names that lead to it.
const maxUnknown = 100

type checker struct {
	unknown []string
	wrong   *mismatch
}

func (c *checker) mismatch(path, want string, got any) {
	if c.wrong == nil {
		c.wrong = wrongType(path, want, got)
	}
}

func (c *checker) message(path string, v any, d protoreflect.MessageDescriptor) {
	if d.ParentFile().Package() == "google.protobuf" { // well-known types have a JSON form of their own
		c.wellKnown(path, v, d)
		return
	}
	fields, ok := v.(map[string]any)
	if !ok {
		c.mismatch(path, "an object", v)
		return
	}
	chosen := map[protoreflect.OneofDescriptor]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := d.Fields().ByJSONName(name)
		if f == nil {
			f = d.Fields().ByTextName(name)
		}
		switch {
		case f == nil:
			if len(c.unknown) < maxUnknown {
				c.unknown = append(c.unknown, path+"."+name)
			}
		case fields[name] != nil:
			c.oneOf(path, name, f.ContainingOneof(), chosen)
			c.field(path+"."+name, fields[name], f)
		}
	}
}

// oneOf refuses a field of which another one excludes it, as the schemas of an API server
// do: reading would keep one of the two and not say which.
func (c *checker) oneOf(path, name string, of protoreflect.OneofDescriptor, chosen map[protoreflect.OneofDescriptor]string) {
	if of == nil || of.IsSynthetic() {
		return
	}
	if other := chosen[of]; other != "" && c.wrong == nil {
		c.wrong = &mismatch{field: path + "." + name, message: fmt.Sprintf("is given beside %s, and only one of the two may be", other), excluded: true}
	}
	chosen[of] = name
}

func (c *checker) field(path string, v any, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsMap():
		m, ok := v.(map[string]any)
		if !ok {
			c.mismatch(path, "an object of names and values", v)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if m[k] != nil {
				c.single(fmt.Sprintf("%s[%s]", path, k), m[k], f.MapValue())
			}
		}
	case f.IsList():
		l, ok := v.([]any)
		if !ok {
			c.mismatch(path, "a list", v)
			return
		}
		for i, e := range l {
			c.single(fmt.Sprintf("%s[%d]", path, i), e, f)
		}
	default:
		c.single(path, v, f)
	}
}

func (c *checker) single(path string, v any, f protoreflect.FieldDescriptor) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		c.message(path, v, f.Message())
	case protoreflect.StringKind, protoreflect.BytesKind:
		if _, ok := v.(string); !ok {
			c.mismatch(path, "text (put it in quotes)", v)
		}
	case protoreflect.BoolKind:
		if _, ok := v.(bool); !ok {
			c.mismatch(path, "true or false", v)
		}
	case protoreflect.EnumKind:
		c.enum(path, v, f.Enum())
	default:
		c.number(path, v)
	}
}

func (c *checker) enum(path string, v any, d protoreflect.EnumDescriptor) {
	s, ok := v.(string)
	if _, number := v.(int64); number || ok && d.Values().ByName(protoreflect.Name(s)) != nil {
		return
	}
	var names []string
	for i := range d.Values().Len() {
		names = append(names, string(d.Values().Get(i).Name()))
	}
	if c.wrong == nil {
		c.wrong = &mismatch{field: path, message: fmt.Sprintf("must be one of %v and is %v", names, v)}
	}
}

// number lets text pass: 64-bit numbers and NaN are written so.
func (c *checker) number(path string, v any) {
	switch v.(type) {
	case int64, float64, string:
	default:
		c.mismatch(path, "a number", v)
	}
}

func (c *checker) wellKnown(path string, v any, d protoreflect.MessageDescriptor) {
	switch d.Name() {
	case "Duration":
		if _, ok := v.(string); !ok {
			c.mismatch(path, `a duration such as "1.5s"`, v)
		} else if _, err := time.ParseDuration(v.(string)); err != nil {
			c.mismatch(path, `a duration such as "1.5s"`, v)
		}
	case "Timestamp":
		if _, ok := v.(string); !ok {
			c.mismatch(path, `a time such as "2006-01-02T15:04:05Z"`, v)
		}
	case "Struct", "Any":
		if _, ok := v.(map[string]any); !ok {
			c.mismatch(path, "an object", v)
		}
	case "ListValue":
		if _, ok := v.([]any); !ok {
			c.mismatch(path, "a list", v)
		}
	case "Value", "Empty", "NullValue", "FieldMask":
	default: // the wrappers: BoolValue, UInt32Value, ...
		c.single(path, v, d.Fields().ByName("value"))
	}
}
