package mesh

import (
	"fmt"
	"strings"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestEntriesThatAreNotMerged: the younger of two entries of a host that differ hears of
// the older one, and no longer when one of them is gone or mended.
func TestEntriesThatAreNotMerged(t *testing.T) {
	entry := func(name, year, labels, more string) Change {
		return Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: name}, Object: readObject[networkingv1.ServiceEntry](t, fmt.Sprintf(
			"metadata: {name: %s, namespace: a, creationTimestamp: '%s-01-01T00:00:00Z', labels: {%s}}\nspec: {hosts: [x.example], ports: [{number: 80, name: http}], endpoints: [{address: 192.0.2.1}]%s}", name, year, labels, more))}
	}
	said := func(w *World) string {
		var out []string
		for f := range w.Findings() {
			out = append(out, fmt.Sprintf("%s %s %s %s", f.Object.Name, f.Code, f.Field, f.Winner.Name))
			if !strings.Contains(f.Message, "with another ") {
				t.Errorf("%s", f)
			}
		}
		return strings.Join(out, ", ")
	}
	const lost = "b Conflict spec.hosts a"
	for _, c := range []struct{ what, labels, more, want string }{
		{"alike", "", ", resolution: STATIC", ""},
		{"another resolution", "", ", resolution: DNS", lost},
		{"another location", "", ", resolution: STATIC, location: MESH_INTERNAL", lost},
		{"other labels", "k: v", ", resolution: STATIC", lost},
		{"another exportTo", "", ", resolution: STATIC, exportTo: ['.']", lost},
	} {
		b := newBuilder()
		b.apply([]Change{entry("a", "2021", "", ", resolution: STATIC"), entry("b", "2022", c.labels, c.more)})
		if w, _ := b.finish(); said(w) != c.want {
			t.Errorf("%s: %q, want %q", c.what, said(w), c.want)
		}
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "a"}}})
		if w, _ := b.finish(); said(w) != "" {
			t.Errorf("%s: %q when the winner is gone", c.what, said(w))
		}
		b.apply([]Change{entry("a", "2021", "", ", resolution: STATIC")})
		b.finish()
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "b"}}})
		if w, _ := b.finish(); said(w) != "" {
			t.Errorf("%s: %q when the loser is gone", c.what, said(w))
		}
	}
}

// TestPublishedEntriesAreNotWrittenTo: what readers may hold has all that it says from the
// moment it was read. The race detector sees what is written later.
func TestPublishedEntriesAreNotWrittenTo(t *testing.T) {
	c := listedEntry(t, "a", "press", "workloadSelector: {labels: {app: web}}, ports: [{number: 80, name: http}]")
	se := registry.ParseServiceEntry(c.Object.(*networkingv1.ServiceEntry), object.Domain)
	if s := se.Services[0]; s.Selector["app"] != "web" {
		t.Errorf("a service that was read selects %v", s.Selector)
	}
	b := newBuilder()
	b.apply([]Change{c})
	w, _ := b.finish()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Host("press.example").Services[0].Selector["app"]
	}()
	b.apply([]Change{{Ref: c.Ref}})
	b.finish()
	<-done
}
