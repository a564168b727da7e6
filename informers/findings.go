package informers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// kindsReport is what the findings about unknown kinds are reported as.
const kindsReport = "kinds"

// findings reports what is wrong with the files, and with those that hold the
// same objects.
func (d *Directory) findings(names []string, touched map[object.Ref]struct{}) {
	about := map[string]struct{}{}
	for _, name := range names {
		about[name] = struct{}{}
	}
	for r := range touched {
		for _, c := range d.claims.byRef[r] {
			about[c.path] = struct{}{}
		}
	}
	for name := range about {
		var list []object.Finding
		if f := d.files[name]; f != nil {
			list = append(slices.Clone(f.findings), d.claims.duplicates(f)...)
		}
		d.report(name, list)
	}
	var unknown []object.Finding
	for k, in := range d.claims.unknown {
		unknown = append(unknown, object.Finding{Object: object.Ref{Kind: KindFile, Name: slices.Min(slices.Collect(maps.Keys(in)))}, Field: "kind", Code: object.CodeForeign,
			Message: fmt.Sprintf("objects of kind %s are not read: nothing is known of it; correct apiVersion or kind if it is meant for the mesh", k)})
	}
	slices.SortFunc(unknown, func(a, b object.Finding) int { return cmp.Compare(a.Message, b.Message) })
	d.report(kindsReport, unknown)
}

// report passes on what differs from the last report.
func (d *Directory) report(what string, list []object.Finding) {
	if slices.Equal(d.reports[what], list) {
		return
	}
	if len(list) == 0 {
		delete(d.reports, what)
	} else {
		d.reports[what] = list
	}
	d.config.Report(what, list)
}
