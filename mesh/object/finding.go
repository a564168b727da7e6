package object

import "fmt"

// Finding tells the owner of an object that a part of it is not in force, or
// not as written: it is ignored, overridden, invalid or unsupported. A finding
// belongs to the user; it never stops other objects.
type Finding struct {
	Object  Ref    // the object that the finding is about
	Field   string // path of the field, "spec.http[1].route[0].destination.subset"; may be empty
	Code    Code   // stable, for tools
	Message string // what is wrong, what happens instead, what to do
	Winner  Ref    // the object that is in force instead; zero when there is none
	// Missing is what the field names and nobody has found: who has only a part of the
	// mesh in hand cannot tell whether it is missing. Of a host the kind is KindHost; of
	// workloads with some labels it is KindWorkload, without a name. Zero: nothing is.
	Missing Ref
}

// String is one line for logs: object, field, message and winner.
func (f Finding) String() string {
	s := f.Object.String()
	if f.Field != "" {
		s += " " + f.Field
	}
	s += ": " + f.Message
	if f.Winner != (Ref{}) {
		s += fmt.Sprintf(" (in force: %s)", f.Winner)
	}
	return s
}

// Invalid is what adds a finding with CodeInvalid about a field of an object.
func Invalid(ref Ref, findings *[]Finding) func(field, format string, args ...any) {
	return func(field, format string, args ...any) {
		*findings = append(*findings, Finding{Object: ref, Field: field, Code: CodeInvalid, Message: fmt.Sprintf(format, args...)})
	}
}
