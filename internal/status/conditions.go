package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	xds "github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// The types of the conditions, as they stand in status.conditions.
const (
	// Accepted is False when something of the object is invalid and left out.
	Accepted = "Accepted"
	// Programmed is True when all proxies hold what is made of the object, False
	// while some do not, and Unknown when no proxy is to have any of it.
	Programmed = "Programmed"
	// Conflicted is True, or absent: another object claims the same and wins.
	Conflicted = "Conflicted"
	// Unreferenced is True, or absent: nothing uses the object.
	Unreferenced = "Unreferenced"
)

// own are the types that this package writes and removes.
var own = []string{Accepted, Programmed, Conflicted, Unreferenced}

// maxMessage bounds the message of a condition, in bytes.
const maxMessage = 2048

// condition is an IstioCondition (istio.io/api/meta/v1alpha1).
type condition struct {
	Type, Status, Reason, Message string
}

// conditionsOf are those that the findings of one object make, and how far
// proxies are with it.
func conditionsOf(findings []object.Finding, p progress) []condition {
	by := func(codes ...object.Code) (out []object.Finding) {
		for _, f := range findings {
			if slices.Contains(codes, f.Code) {
				out = append(out, f)
			}
		}
		return out
	}
	conflicts, unused, refused := by(object.CodeConflict), by(object.CodeUnreferenced), by(object.CodeRejected)
	invalid := by(object.CodeInvalid, object.CodeSecret)
	var warnings []object.Finding // all others
	for _, f := range findings {
		if severity(f.Code) == "WARNING" && f.Code != object.CodeConflict && f.Code != object.CodeUnreferenced {
			warnings = append(warnings, f)
		}
	}
	accepted := condition{Accepted, "True", "Accepted", "the object is in force"}
	switch {
	case len(invalid) > 0:
		accepted = condition{Accepted, "False", string(invalid[0].Code), text(append(invalid, warnings...))}
	case len(warnings) > 0:
		accepted = condition{Accepted, "True", string(warnings[0].Code), text(warnings)}
	}
	out := []condition{accepted, programmed(refused, p)}
	if len(conflicts) > 0 {
		out = append(out, condition{Conflicted, "True", string(object.CodeConflict), text(conflicts)})
	}
	if len(unused) > 0 {
		out = append(out, condition{Unreferenced, "True", string(object.CodeUnreferenced), text(unused)})
	}
	return out
}

// progress is how far the proxies of this replica are with an object.
type progress struct {
	xds.Delivery
	replica string // "": there is but one
	traced  bool   // whether Delivery can tell
}

// here is the control plane that counts.
func (p progress) here() string {
	if p.replica == "" {
		return "this control plane"
	}
	return "replica " + p.replica + " of the control plane"
}

// count is "n/m proxies".
func (p progress) count() string {
	return fmt.Sprintf("%d/%d proxies connected to %s hold what is made of the object", p.Holding, p.Proxies, p.here())
}

// programmed says whether what was made of an object has arrived.
func programmed(refused []object.Finding, p progress) condition {
	switch {
	case len(refused) > 0 && p.Proxies > 0:
		return condition{Programmed, "False", string(object.CodeRejected), p.count() + "; " + text(refused)}
	case len(refused) > 0:
		return condition{Programmed, "False", string(object.CodeRejected), text(refused)}
	case !p.traced:
		return condition{Programmed, "True", "Programmed", "no connected proxy refuses what is made with the object"}
	case p.Proxies == 0:
		return condition{Programmed, "Unknown", "NoProxy", "no proxy that is connected to " + p.here() + " is to have anything made of the object"}
	case p.Holding < p.Proxies:
		return condition{Programmed, "False", "Pending", p.count()}
	}
	return condition{Programmed, "True", "Programmed", p.count()}
}

// text is what the findings say, cut to maxMessage.
func text(findings []object.Finding) string {
	var parts []string
	for _, f := range findings {
		part := f.Message
		if f.Field != "" {
			part = f.Field + ": " + part
		}
		if f.Winner != (object.Ref{}) {
			part += fmt.Sprintf(" (in force: %s)", f.Winner)
		}
		parts = append(parts, part)
	}
	out := strings.ToValidUTF8(strings.Join(parts, "; "), "\uFFFD")
	if len(out) > maxMessage {
		out = strings.ToValidUTF8(out[:maxMessage-3], "") + "..."
	}
	return out
}

// severity is the level of a finding in validationMessages.
func severity(c object.Code) string {
	switch c {
	case object.CodeInvalid, object.CodeSecret, object.CodeRejected, object.CodeUnknownKind:
		return "ERROR"
	}
	return "WARNING"
}

// messagesOf are the validationMessages of the findings, one for each code:
// the API has no room for more than the name and the level.
func messagesOf(findings []object.Finding) []any {
	codes := map[object.Code]struct{}{}
	var out []any
	sorted := slices.SortedFunc(slices.Values(findings), func(a, b object.Finding) int { return cmp.Compare(a.Code, b.Code) })
	for _, f := range sorted {
		if _, known := codes[f.Code]; known {
			continue
		}
		codes[f.Code] = struct{}{}
		out = append(out, map[string]any{"type": map[string]any{"name": string(f.Code)}, "level": severity(f.Code)})
	}
	return out
}

// merge puts the conditions in the place of our own among those that stand;
// when a condition last changed its status is kept.
func merge(standing []any, conditions []condition, generation int64, now time.Time) []any {
	var out []any
	before := map[string]map[string]any{}
	for _, s := range standing {
		c, ok := s.(map[string]any)
		if !ok {
			continue
		}
		name, _ := c["type"].(string)
		if slices.Contains(own, name) {
			before[name] = c
		} else {
			out = append(out, c)
		}
	}
	for _, c := range conditions {
		since := now.UTC().Format(time.RFC3339)
		if b := before[c.Type]; b["status"] == c.Status {
			if t, ok := b["lastTransitionTime"].(string); ok {
				since = t
			}
		}
		out = append(out, map[string]any{
			"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message,
			"observedGeneration": generation, "lastTransitionTime": since,
		})
	}
	return out
}
