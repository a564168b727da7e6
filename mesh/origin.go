package mesh

import (
	"strconv"

	networking "istio.io/api/networking/v1alpha3"
)

// Origin says where a rule of a VirtualService stands as its owner wrote it:
// rules before it may have been left out, and rules of delegates stand in
// other objects.
type Origin struct {
	Ref   Ref
	Field string // "spec.http[2]"
}

// origins are those of the rules of a VirtualService's Spec, index by index.
type origins struct {
	http, tcp, tls []Origin
}

// HTTPOrigin is where Spec.Http[i] was written.
func (v *VirtualService) HTTPOrigin(i int) Origin { return v.origin(v.origins.http, "spec.http", i) }

// TCPOrigin is where Spec.Tcp[i] was written.
func (v *VirtualService) TCPOrigin(i int) Origin { return v.origin(v.origins.tcp, "spec.tcp", i) }

// TLSOrigin is where Spec.Tls[i] was written.
func (v *VirtualService) TLSOrigin(i int) Origin { return v.origin(v.origins.tls, "spec.tls", i) }

func (v *VirtualService) origin(known []Origin, list string, i int) Origin {
	if i < len(known) {
		return known[i]
	}
	return Origin{v.Ref, list + "[" + strconv.Itoa(i) + "]"}
}

// asksForSource tells whether any match of the rules asks for the client's labels or
// namespace.
func asksForSource(spec *networking.VirtualService) bool {
	type source interface {
		GetSourceLabels() map[string]string
		GetSourceNamespace() string
	}
	asks := func(m source) bool { return len(m.GetSourceLabels()) > 0 || m.GetSourceNamespace() != "" }
	for _, r := range spec.Http {
		for _, m := range r.Match {
			if asks(m) {
				return true
			}
		}
	}
	for _, r := range spec.Tcp {
		for _, m := range r.Match {
			if asks(m) {
				return true
			}
		}
	}
	for _, r := range spec.Tls {
		for _, m := range r.Match {
			if asks(m) {
				return true
			}
		}
	}
	return false
}
