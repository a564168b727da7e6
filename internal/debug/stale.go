package debug

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// View says how well the control plane knows the objects of a kind, as JSON
// shows it.
type View struct {
	Kind string `json:"kind"`
	// AgeSeconds is how long ago it was last confirmed that what was read is what
	// the API server has.
	AgeSeconds float64 `json:"ageSeconds"`
	// Stale says that this is too long.
	Stale   bool   `json:"stale"`
	Problem string `json:"problem,omitempty"` // why it could not be confirmed since
	// Named says that objects of the kind are followed by name, each because something
	// else names it. Which ones those are may differ between replicas.
	Named   bool   `json:"named,omitempty"`
	Relists uint64 `json:"relists"` // reads of all objects since a watch had lost something
}

// Stale are the views that are: a line for each reason, with the oldest age.
func Stale(list []View) (lines []string) {
	kinds, ages := map[string][]string{}, map[string]float64{}
	for _, v := range list {
		if v.Stale {
			kinds[v.Problem] = append(kinds[v.Problem], v.Kind)
			ages[v.Problem] = max(ages[v.Problem], v.AgeSeconds)
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(kinds)) {
		age := time.Duration(math.Round(ages[problem])) * time.Second
		lines = append(lines, fmt.Sprintf("%s: %s: %s", age, cmp.Or(problem, "nothing confirms it"), strings.Join(kinds[problem], ", ")))
	}
	return lines
}

// FreshHeader and StaleHeader are headers of an answer to /readyz. They name the kinds of
// which the view is fresh and stale, with commas between, but none of which objects are
// followed by name; one that would name none is left out. Other replicas read them.
const FreshHeader, StaleHeader = "Fairway-Fresh", "Fairway-Stale"

// nameKinds sets the headers.
func nameKinds(h http.Header, list []View) {
	kinds := map[string][]string{}
	for _, v := range list {
		switch {
		case v.Named:
		case v.Stale:
			kinds[StaleHeader] = append(kinds[StaleHeader], v.Kind)
		default:
			kinds[FreshHeader] = append(kinds[FreshHeader], v.Kind)
		}
	}
	for header, of := range kinds {
		h.Set(header, strings.Join(of, ", "))
	}
}

// printStale says what is old of what is served. The control plane serves it all
// the same: it is the best that there is, and a replica that ends helps nobody.
func printStale(w io.Writer, list []View) {
	lines := Stale(list)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, "degraded: the view of the API server is old; proxies are served what was read last")
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
}
