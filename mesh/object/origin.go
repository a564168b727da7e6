package object

// Origin says where a rule of a VirtualService stands as its owner wrote it:
// rules before it may have been left out, and rules of delegates stand in
// other objects.
type Origin struct {
	Ref   Ref
	Field string // "spec.http[2]"
}
