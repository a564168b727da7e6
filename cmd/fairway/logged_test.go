package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestFindingsAreLoggedWithinBounds: a namespace whose findings change without end fills
// no log, and another namespace's are logged beside it.
func TestFindingsAreLoggedWithinBounds(t *testing.T) {
	var out bytes.Buffer
	l := newFindingLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Unix(1_000_000, 0)
	for look := range 240 { // two minutes
		var findings []object.Finding
		for i := range 100 {
			findings = append(findings, object.Finding{Object: object.Ref{Kind: object.KindServiceEntry, Namespace: "evil", Name: "e"}, Message: fmt.Sprint(look, i)})
		}
		findings = append(findings, object.Finding{Object: object.Ref{Kind: object.KindServiceEntry, Namespace: "shop", Name: "e"}, Message: fmt.Sprint("honest ", look)})
		if look%10 != 0 {
			findings = findings[:100]
		}
		l.write(now.Add(time.Duration(look)*500*time.Millisecond), findings)
	}
	text := out.String()
	if n := strings.Count(text, "/evil/") + strings.Count(text, "evil"); n < 100 || strings.Count(text, "\n") > 100+120+24+2 {
		t.Errorf("%d lines, %d of the noisy namespace", strings.Count(text, "\n"), n)
	}
	if n := strings.Count(text, "honest"); n != 24 {
		t.Errorf("%d lines of the honest namespace, want 24", n)
	}
	if !strings.Contains(text, "/debug/findings") {
		t.Error("no line says that findings are not logged")
	}
	l.write(now.Add(time.Hour), nil)
	if len(l.shares) != 0 {
		t.Errorf("%d shares are kept of namespaces that are quiet", len(l.shares))
	}
}
