package mesh

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// checkRanges takes values out of a mesh configuration that its fields cannot have,
// before it is laid over the defaults, and tells of each.
func checkRanges(ref object.Ref, read *meshconfig.MeshConfig) []object.Finding {
	c := &rangeCheck{ref: ref}
	c.providers(read)
	c.message(read.ProtoReflect(), "")
	if read.TrustDomain != "" && !trustDomain(read.TrustDomain) {
		c.bad("trustDomain", "%q is no trust domain; the default %s is used: write lower-case letters, digits, dots, dashes and underscores", read.TrustDomain, object.Domain)
		read.TrustDomain = ""
	}
	for i, alias := range read.TrustDomainAliases {
		if alias != "*" && !trustDomain(alias) {
			c.bad(fmt.Sprintf("trustDomainAliases[%d]", i), "%q is no trust domain, so that no peer has it: write lower-case letters, digits, dots, dashes and underscores", alias)
		}
	}
	return c.findings
}

// trustDomain tells whether a text can be the trust domain of SPIFFE ids.
func trustDomain(name string) bool {
	return len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
	})
}

// rangeCheck walks all fields of a mesh configuration.
type rangeCheck struct {
	ref      object.Ref
	findings []object.Finding
}

func (c *rangeCheck) bad(field, format string, args ...any) {
	c.findings = append(c.findings, object.Finding{Object: c.ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
}

func (c *rangeCheck) message(m protoreflect.Message, at string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		field := strings.TrimPrefix(at+"."+f.JSONName(), ".")
		switch {
		case f.IsMap():
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				c.message(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", field, i))
			}
		case f.IsList():
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Duration":
			if d, ok := v.Message().Interface().(*durationpb.Duration); ok && d.AsDuration() < 0 {
				c.bad(field, "%s is less than nothing; the default is used: write a duration such as 10s", d.AsDuration())
				m.Clear(f)
			}
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Int32Value":
			if n := v.Message().Get(f.Message().Fields().ByName("value")).Int(); n < 0 {
				c.negative(m, f, field, n)
			}
		case f.Message() != nil:
			c.message(v.Message(), field)
		case f.Kind() == protoreflect.StringKind:
			c.service(m, f, v.String(), field)
		case f.Kind() == protoreflect.Int32Kind && v.Int() < 0:
			c.negative(m, f, field, v.Int())
		case strings.HasSuffix(string(f.Name()), "port"):
			if n := portNumber(v, f.Kind()); n < 1 || n > object.MaxPort {
				c.bad(field, "%d is no port; the field is ignored: use 1 to %d", n, object.MaxPort)
				m.Clear(f)
			}
		}
		return true
	})
}

func (c *rangeCheck) negative(m protoreflect.Message, f protoreflect.FieldDescriptor, field string, n int64) {
	c.bad(field, "%d is less than nothing; the default is used: write 0 or more", n)
	m.Clear(f)
}

// service checks the host of a provider, whose port is a field of its own.
func (c *rangeCheck) service(m protoreflect.Message, f protoreflect.FieldDescriptor, text, field string) {
	if f.Name() != "service" || m.Descriptor().Fields().ByName("port") == nil {
		return
	}
	host := text
	if _, of, ok := strings.Cut(text, "/"); ok { // "namespace/host"
		host = of
	}
	if !object.ValidHost(host) || object.IsWildcard(host) {
		c.bad(field, "%q is no host, or has more than a host, so that the provider is never found: write [namespace/]host here, and the port in the field port", text)
	}
}

func portNumber(v protoreflect.Value, kind protoreflect.Kind) int64 {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return v.Int()
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return int64(min(v.Uint(), 1<<40)) //nolint:gosec // bounded
	}
	return 1 // no number
}
