package snapshot

import "github.com/fairway-mesh/fairway/internal/persist"

// under is what an overlay takes from the sums of the base that it lies over:
// those of the resources that it stands in place of or hides. To find them
// anew costs as much as there is in the overlay, and each change of the base
// concerns all overlays.
type under struct {
	base *Revision
	sums [NumTypes]uint64
}

// over is the overlay with its sums for a base. before is the overlay, with
// its own, that this one came from; then it costs O(changes · log n).
func (rev *Revision) over(base, before *Revision) *Revision {
	if rev == nil || base == nil || rev.under != nil && rev.under.base == base {
		return rev
	}
	now := &under{base: base}
	from := base
	if before != nil && before.under != nil {
		now.sums, from = before.under.sums, before.under.base
	} else {
		before = nil
	}
	for t := range NumTypes {
		persist.Diff(before.Set(t), rev.Set(t), nil, func(c persist.Change[string, *Resource]) bool {
			switch below := from.Get(t, c.Key); {
			case below == nil || c.HadOld == c.HasNew:
			case c.HasNew:
				now.sums[t] += below.sum
			default:
				now.sums[t] -= below.sum
			}
			return true
		})
		persist.Diff(from.Set(t), base.Set(t), nil, func(c persist.Change[string, *Resource]) bool {
			if rev.Get(t, c.Key) == nil {
				return true
			}
			if c.HadOld {
				now.sums[t] -= c.Old.sum
			}
			if c.HasNew {
				now.sums[t] += c.New.sum
			}
			return true
		})
	}
	next := *rev
	next.under = now
	return &next
}

// covered is the sum of what an overlay takes from a base.
func (rev *Revision) covered(base *Revision, t Type) uint64 {
	if rev == nil || base.Len(t) == 0 {
		return 0
	}
	if rev.under != nil && rev.under.base == base {
		return rev.under.sums[t]
	}
	return rev.over(base, nil).under.sums[t]
}
