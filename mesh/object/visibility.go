package object

import "slices"

// Visibility is an exportTo list as written: nil means the mesh's default of
// the kind. Entries are namespaces, "." (the object's own namespace), "*"
// (every namespace) or "~" (none).
type Visibility []string

// VisibleFrom tells whether an object of namespace owner with this list is
// visible in namespace client. fallback is the mesh's default for the kind,
// used when the list is empty (MeshConfig.default*ExportTo); nil means "*".
func (v Visibility) VisibleFrom(owner, client string, fallback []string) bool {
	list := []string(v)
	if len(list) == 0 {
		list = fallback
	}
	if len(list) == 0 {
		return true
	}
	for _, e := range list {
		switch e {
		case "*":
			return true
		case "~":
			return false
		case ".":
			if owner == client {
				return true
			}
		default:
			if e == client {
				return true
			}
		}
	}
	return false
}

// None tells whether the list says that nobody sees the object.
func (v Visibility) None() bool { return len(v) > 0 && v[0] == "~" }

// Private tells whether the list names nothing but the owner's namespace.
func (v Visibility) Private(owner string, fallback []string) bool {
	list := []string(v)
	if len(list) == 0 {
		list = fallback
	}
	if len(list) == 0 {
		return false
	}
	return !slices.ContainsFunc(list, func(e string) bool { return e != "." && e != owner })
}

// Equal tells whether two lists say the same, whatever their order.
func (v Visibility) Equal(o Visibility) bool {
	if len(v) != len(o) {
		return false
	}
	a, b := slices.Clone(v), slices.Clone(o)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
