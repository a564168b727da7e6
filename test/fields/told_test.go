package fields_test

import (
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestWhatIsToldOfAField: a finding about what holds a field is about the field only where
// it names it, and what is told to do nothing is so at its own place.
func TestWhatIsToldOfAField(t *testing.T) {
	ref := object.Ref{Kind: object.KindGateway, Namespace: "shop", Name: "x"}
	w := &walk{ref: ref}
	of := func(field, message string) *outcome {
		return &outcome{findings: map[object.Finding]bool{{Object: ref, Field: field, Code: object.CodeUnsupported, Message: message}: true}}
	}
	nothing := &outcome{findings: map[object.Finding]bool{}}
	const path = "spec.servers[1].tls.ecdhCurves"
	for _, c := range []struct {
		field, message string
		told           bool
	}{
		{"spec.servers[1].tls", "a server of protocol HTTP is plain text; it is left out", false},
		{"spec.servers[1].tls", "ecdhCurves are for TLS 1.2", true},
		{"spec.servers[1].tls.ecdhCurves", "not known", true},
		{"spec.servers[1].tls.ecdhCurves[0]", "not known", true},
		{"spec.servers[1].tls.ecdh", "not known", false},
	} {
		if got := w.told(of(c.field, c.message), nothing, path); got != c.told {
			t.Errorf("%s %q: told %t, want %t", c.field, c.message, got, c.told)
		}
	}
	for field, idle := range map[string]bool{
		"spec.servers[1].tls": true, "spec.servers[0].tls": false, "spec.servers[web].tls": true, "spec.servers[1]": true, "spec.server": false, "spec.servers[1].tls.ecdhCurves.more": false,
	} {
		if got := w.unsupported(of(field, ""), path); got != idle {
			t.Errorf("%s: idle %t, want %t", field, got, idle)
		}
	}
}
