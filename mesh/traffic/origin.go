package traffic

import (
	"strconv"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// origins are those of the rules of a VirtualService's Spec, index by index.
type origins struct {
	http, tcp, tls []object.Origin
}

// ClearHTTP takes the HTTP rules away.
func (v *VirtualService) ClearHTTP() { v.Spec.Http, v.origins.http = nil, nil }

// AddHTTP adds a rule after the others, and where it was written.
func (v *VirtualService) AddHTTP(rule *networking.HTTPRoute, from object.Origin) {
	v.Spec.Http, v.origins.http = append(v.Spec.Http, rule), append(v.origins.http, from)
}

// AddTCP adds a rule after the others, and where it was written.
func (v *VirtualService) AddTCP(rule *networking.TCPRoute, from object.Origin) {
	v.Spec.Tcp, v.origins.tcp = append(v.Spec.Tcp, rule), append(v.origins.tcp, from)
}

// AddTLS adds a rule after the others, and where it was written.
func (v *VirtualService) AddTLS(rule *networking.TLSRoute, from object.Origin) {
	v.Spec.Tls, v.origins.tls = append(v.Spec.Tls, rule), append(v.origins.tls, from)
}

// HTTPOrigin is where Spec.Http[i] was written.
func (v *VirtualService) HTTPOrigin(i int) object.Origin {
	return v.origin(v.origins.http, "spec.http", i)
}

// TCPOrigin is where Spec.Tcp[i] was written.
func (v *VirtualService) TCPOrigin(i int) object.Origin {
	return v.origin(v.origins.tcp, "spec.tcp", i)
}

// TLSOrigin is where Spec.Tls[i] was written.
func (v *VirtualService) TLSOrigin(i int) object.Origin {
	return v.origin(v.origins.tls, "spec.tls", i)
}

func (v *VirtualService) origin(known []object.Origin, list string, i int) object.Origin {
	if i < len(known) {
		return known[i]
	}
	return object.Origin{Ref: v.Ref, Field: list + "[" + strconv.Itoa(i) + "]"}
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
