package snapshot

// wanted gathers resources of a stack with all that they need and name.
type wanted struct {
	from   Stack
	known  map[*Resource][]string // clusters that resources name, as far as known
	refers map[*Resource][]string // those of the resources here
	out    map[Key]*Resource
	looked map[Key]struct{} // all that was looked for, there or not
}

func want(from Stack, known map[*Resource][]string) *wanted {
	return &wanted{from: from, known: known, refers: map[*Resource][]string{}, out: map[Key]*Resource{}, looked: map[Key]struct{}{}}
}

// names are the clusters that its resources name; nil has none.
func (w *wanted) names() map[*Resource][]string {
	if w == nil {
		return nil
	}
	return w.refers
}

// find takes the resource of a name, if there is one.
func (w *wanted) find(t Type, name string) {
	w.looked[Key{t, name}] = struct{}{}
	if r := w.from.Get(t, name); r != nil {
		w.add(r)
	}
}

// add takes a resource, unless one of its name is there already.
func (w *wanted) add(r *Resource) {
	key := Key{r.Type, r.Name}
	if _, there := w.out[key]; there {
		return
	}
	w.out[key], w.looked[key] = r, struct{}{}
	for _, need := range r.Needs {
		w.find(need.Type, need.Name)
	}
	for _, name := range w.named(r) {
		w.find(Cluster, name)
	}
}

// named are the clusters that a resource names.
func (w *wanted) named(r *Resource) []string {
	switch r.Type {
	case Listener, VirtualHost, ExtensionConfig:
	default:
		return nil
	}
	list, known := w.known[r]
	if !known {
		list = refersTo(r)
	}
	w.refers[r] = list
	return list
}

// to is the revision with these resources and no others.
func (rev *Revision) to(want map[Key]*Resource) *Revision {
	if rev == nil {
		rev = &Revision{}
	}
	var put []*Resource
	var gone []Key
	for t := range NumTypes {
		for name := range rev.Set(t).All() {
			if _, kept := want[Key{t, name}]; !kept {
				gone = append(gone, Key{t, name})
			}
		}
	}
	for key, r := range want {
		if rev.Get(key.Type, key.Name) != r {
			put = append(put, r)
		}
	}
	return rev.With(put, gone...)
}
