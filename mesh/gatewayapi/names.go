package gatewayapi

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
)

// maxLabel is how long a label's value, and the name of a Service, may be.
const maxLabel = 63

// GatewayLabel is the value of GatewayNameLabel for a Gateway of that name, and that of
// its class's label: the name where a label can hold it, else a shorter one.
func GatewayLabel(name string) string {
	if len(name) <= maxLabel {
		return name
	}
	return hashed(name, name)
}

// serviceName is what a Service may be called (RFC 1035).
var serviceName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// deploymentName is what the Deployment and Service of a managed Gateway are called: as
// Istio calls them, where a Service can have the name; else one that is made of it.
func (g *Gateway) deploymentName() string {
	name := g.Ref.Name + "-" + string(g.Spec.GatewayClassName)
	if len(name) <= maxLabel && serviceName.MatchString(name) {
		return name
	}
	plain := strings.ReplaceAll(name, ".", "-")
	if plain[0] < 'a' || plain[0] > 'z' {
		plain = "gateway-" + plain
	}
	return hashed(plain, name)
}

// hashed is the beginning of a text, and a hash of what it stands for.
func hashed(text, of string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(of))
	return fmt.Sprintf("%s-%08x", strings.TrimRight(text[:min(len(text), maxLabel-9)], "-._"), h.Sum32())
}
