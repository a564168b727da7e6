package translate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/test/random"
)

// TestPairsAreParsedOnce: that certificate and key go together is found out once for a
// Secret, however many proxies are given it.
func TestPairsAreParsedOnce(t *testing.T) {
	cert, key := random.Certificate()
	s := registry.ParseSecret(&corev1.Secret{Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
	if c, _, found := GatewaySecret("s", s); c == nil || len(found) > 0 {
		t.Fatalf("%v, %v", c, found)
	}
	if n := testing.AllocsPerRun(20, func() { GatewaySecret("s", s) }); n > 30 {
		t.Errorf("reading a Secret again takes %v allocations, as many as its key has", n)
	}
}
