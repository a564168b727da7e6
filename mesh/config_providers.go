package mesh

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// providers tells of providers that nothing can be sent to, and of names that several have.
func (c *rangeCheck) providers(read *meshconfig.MeshConfig) {
	first := map[string]int{}
	for i, p := range read.GetExtensionProviders() {
		at := "extensionProviders[" + strconv.Itoa(i) + "]"
		name := strings.ToLower(p.GetName())
		if j, again := first[name]; again && name != "" {
			c.bad(at+".name", "extensionProviders[%d] has the name %q already, and is used for both: give each a name of its own", j, p.GetName())
		} else {
			first[name] = i
		}
		if name == "" {
			c.bad(at+".name", "the provider has no name, so that nothing can refer to it: give it one")
		}
		m := p.ProtoReflect()
		of := m.WhichOneof(m.Descriptor().Oneofs().ByName("provider"))
		if of == nil {
			c.bad(at, "it says not of what kind the provider is; it is never used: add one such as envoyExtAuthzGrpc or opentelemetry")
			continue
		}
		kind := m.Get(of).Message()
		if f := kind.Descriptor().Fields().ByName("status_on_error"); f != nil && kind.Has(f) && !status(kind.Get(f).String()) {
			c.bad(fmt.Sprintf("%s.%s.statusOnError", at, of.JSONName()), "%q is no status that Envoy can answer; 403 is answered: write one such as \"503\"", kind.Get(f).String())
			kind.Clear(f)
		}
		for _, field := range []protoreflect.Name{"service", "port"} {
			f := kind.Descriptor().Fields().ByName(field)
			if f != nil && kind.Descriptor().Fields().ByName("service") != nil && !kind.Has(f) {
				c.bad(fmt.Sprintf("%s.%s.%s", at, of.JSONName(), field), "the provider has no %s, so that nothing can be sent to it: set it", field)
			}
		}
	}
}

// status tells whether a text is the number of a status of HTTP that Envoy answers with
// (envoy.type.v3.StatusCode).
func status(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && http.StatusText(n) != "" && !slices.Contains([]int{101, 102, 103, 418, 425, 451}, n)
}
