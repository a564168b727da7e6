package traffic

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// headers leaves out header operations that Envoy would refuse.
func (c *httpCheck) headers() {
	if h := c.operations(".headers", c.in.Headers); h != c.in.Headers {
		c.edit().Headers = h
	}
	for i, d := range c.in.Route {
		if h := c.operations(".route["+strconv.Itoa(i)+"].headers", d.GetHeaders()); h != d.GetHeaders() {
			c.edit().Route[i].Headers = h
		}
	}
}

func (c *ruleCheck) operations(field string, h *networking.Headers) *networking.Headers {
	out := h
	edit := func() *networking.Headers {
		if out == h {
			out = proto.CloneOf(h)
		}
		return out
	}
	for _, ops := range []struct {
		name string
		of   func(*networking.Headers) *networking.Headers_HeaderOperations
	}{{".request", (*networking.Headers).GetRequest}, {".response", (*networking.Headers).GetResponse}} {
		in := ops.of(h)
		request := ops.name == ".request"
		for _, values := range []struct {
			name string
			of   func(*networking.Headers_HeaderOperations) map[string]string
		}{{".set", (*networking.Headers_HeaderOperations).GetSet}, {".add", (*networking.Headers_HeaderOperations).GetAdd}} {
			for _, name := range slices.Sorted(maps.Keys(values.of(in))) {
				if !c.settable(field+ops.name+values.name+"["+name+"]", name, values.of(in)[name], request) {
					delete(values.of(ops.of(edit())), name)
				}
			}
		}
		for i, name := range in.GetRemove() {
			if !c.removable(field+ops.name+".remove["+strconv.Itoa(i)+"]", name) {
				o := ops.of(edit())
				o.Remove = slices.DeleteFunc(o.Remove, func(n string) bool { return n == name })
			}
		}
	}
	return out
}

// maxHeader is the longest name or value that Envoy takes in its
// configuration.
const maxHeader = 16384

func (c *ruleCheck) settable(field, name, value string, request bool) bool {
	bad := func(what string) bool {
		c.report(object.CodeInvalid, field, "%s; the header is left alone", what)
		return false
	}
	switch {
	case request && HostHeader(name):
		if value == "" || strings.ContainsAny(value, " \t") || control(value) || len(value) > maxHeader {
			return bad("the value is no host")
		}
		return true
	case strings.HasPrefix(name, ":") || HostHeader(name):
		return bad("Envoy lets no rule change this header: use rewrite for the path or the host of requests")
	case !headerName(name):
		return bad("this is not the name of a header: use letters, digits and hyphens")
	case control(value) || len(EscapeHeaderFormat(value)) > maxHeader:
		return bad("the value holds control characters or is too long: a header is one line of at most 16384 bytes")
	}
	if unknown := unknownCommands(value); len(unknown) > 0 {
		c.report(object.CodeInvalid, field, "%s is no command that Envoy knows, or lacks what it needs; it is sent as it stands: correct it, or write %%%% for each percent sign", strings.Join(unknown, ", "))
	}
	return true
}

func (c *ruleCheck) removable(field, name string) bool {
	switch {
	case strings.HasPrefix(name, ":") || HostHeader(name):
		c.report(object.CodeInvalid, field, "Envoy lets no rule remove this header; it stays: remove the entry")
	case !headerName(name):
		c.report(object.CodeInvalid, field, "%q is not the name of a header; the entry is ignored: use letters, digits and hyphens", name)
	default:
		return true
	}
	return false
}

// HostHeader tells whether the name is that of the request's host, which is
// replaced in a way of its own and not by header operations.
func HostHeader(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// SettableHeader tells whether Envoy adds a header of the name and value to
// requests of its own; what it would not, it refuses together with all around it.
func SettableHeader(name, value string) bool {
	return headerName(name) && !HostHeader(name) && !control(value) && len(EscapeHeaderFormat(value)) <= maxHeader
}

// headerName tells whether the text is a token, as names of headers are (RFC
// 9110, 5.1).
func headerName(name string) bool {
	if name == "" || len(name) > maxHeader {
		return false
	}
	for i := range len(name) {
		b := name[i]
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0:
		default:
			return false
		}
	}
	return true
}
