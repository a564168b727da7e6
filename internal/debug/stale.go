package debug

import (
	"fmt"
	"io"
	"math"
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
	Relists uint64 `json:"relists"`           // reads of all objects since a watch had lost something
}

// Stale are the views that are, one line each.
func Stale(list []View) (lines []string) {
	for _, v := range list {
		if !v.Stale {
			continue
		}
		line := fmt.Sprintf("%s: %s", v.Kind, (time.Duration(math.Round(v.AgeSeconds)) * time.Second).String())
		if v.Problem != "" {
			line += ": " + v.Problem
		}
		lines = append(lines, line)
	}
	return lines
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
