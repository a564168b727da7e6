package mesh

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
}

// Code is the stable name of a sort of finding ("SubsetNotFound").
type Code string

// The codes of findings.
const (
	CodeInvalid       Code = "Invalid"        // the value cannot be used; it, or the object, is left out
	CodeUnsupported   Code = "Unsupported"    // the field or kind is understood and not acted upon
	CodeUnknownKind   Code = "UnknownKind"    // no such kind
	CodeConflict      Code = "Conflict"       // another object claims the same thing and wins
	CodeHostNotFound  Code = "HostNotFound"   // no Service or ServiceEntry has the host
	CodeSubsetMissing Code = "SubsetNotFound" // no DestinationRule in force defines the subset
	CodePortNotFound  Code = "PortNotFound"   // the service has no such port
	CodeUnreferenced  Code = "Unreferenced"   // nothing uses the object
	CodeRejected      Code = "Rejected"       // a proxy refused what was made of the object
	CodeShadowed      Code = "Shadowed"       // an earlier rule matches all that this one matches
	CodeSecret        Code = "SecretInvalid"  // a Secret is missing or broken; the last good one stays
	CodeWithheld      Code = "Withheld"       // only proxies of the object's own namespace are given it
	CodePending       Code = "Pending"        // the pods that are to serve a Gateway do not run
	CodeOutdated      Code = "ProxyOutdated"  // the proxies of a workload were made by another version
)

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
