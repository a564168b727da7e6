package snapshot

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// nearHost is what a virtual host is made of that answers to more names in one
// namespace than elsewhere: each namespace sees its own services so. The bytes
// are those of the virtual host that everybody sees, with these names after
// them, and are not kept a second time.
type nearHost struct {
	wide  *Resource
	names string // as fields of the message
}

const fieldDomains = 2 // envoy.config.route.v3.VirtualHost.domains

// resource implements source. Repeated fields may stand anywhere in an encoded
// message.
func (n nearHost) resource() *Resource {
	return n.wide.With("", n.wide.Body(), []byte(n.names))
}

// near is a virtual host with further names; the one of before where that is it.
func near(wide *Resource, names []string, before []*Resource) *Resource {
	var fields []byte
	for _, name := range names {
		fields = protowire.AppendString(protowire.AppendTag(fields, fieldDomains, protowire.BytesType), name)
	}
	n := nearHost{wide, string(fields)}
	if i := slices.IndexFunc(before, func(r *Resource) bool { return r.of(n) }); i >= 0 {
		return before[i]
	}
	return n.resource().without(n)
}
