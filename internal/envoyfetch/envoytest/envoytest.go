// Package envoytest gives tests their Envoy.
//
// It is imported by tests only, and never downloads.
package envoytest

import (
	"testing"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
)

// Path is a stock Envoy of this machine, of whatever release $ENVOY or PATH
// has; without one the test is skipped.
func Path(t testing.TB) string {
	t.Helper()
	path, err := envoyfetch.Find(envoyfetch.Version)
	if err != nil {
		t.Skip("no Envoy: set $ENVOY or put envoy into PATH")
	}
	return path
}
