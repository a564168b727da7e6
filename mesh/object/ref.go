package object

import (
	"cmp"
	"time"
)

// Ref names one object of the API. The zero Ref names nothing.
type Ref struct {
	Kind      Kind
	Namespace string // empty for cluster-scoped kinds
	Name      string
}

// String is "Kind namespace/name", or "Kind name" without a namespace.
func (r Ref) String() string {
	if r.Namespace == "" {
		return string(r.Kind) + " " + r.Name
	}
	return string(r.Kind) + " " + r.Namespace + "/" + r.Name
}

// Older orders objects by age, then by name, then by namespace, which is the
// order of precedence of the networking API.
func Older(at time.Time, a Ref, bt time.Time, b Ref) int {
	return cmp.Or(at.Compare(bt), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// CompareRefs orders references by kind, namespace and name.
func CompareRefs(x, y Ref) int {
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
}
