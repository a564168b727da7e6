package identity

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entryLineage tells whose keyring it is and how far: an origin and a number.
const entryLineage = "lineage"

// lineage tells a keyring's next state from an earlier one, and from another
// mesh's. The zero lineage is that of keyrings that were written without one.
type lineage struct {
	origin     string // drawn by lot when the first root is made
	generation int64  // grows by one with each state
}

// newer is the lineage of the state that is written next.
func (l lineage) newer() lineage {
	if l.origin == "" {
		l.origin = rand.Text()
	}
	l.generation++
	return l
}

func (l lineage) encode() []byte { return fmt.Appendf(nil, "%s %d\n", l.origin, l.generation) }

func decodeLineage(text []byte) (lineage, error) {
	if len(text) == 0 {
		return lineage{}, nil
	}
	origin, number, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || origin == "" || n < 0 || len(origin) > 64 {
		return lineage{}, errors.New(entryLineage + ": want an origin and a number")
	}
	return lineage{origin, n}, nil
}

// entryMended tells when and why the keyring was put back last; for people.
const entryMended = "put-back"

// Mended is when a replica last put its roots back into Storage, and the fault,
// one of Faults. The zero Mended: never.
type Mended struct {
	At    time.Time
	Fault string
}

func (m Mended) encode() []byte {
	return fmt.Appendf(nil, "%s %s\n", m.At.UTC().Format(time.RFC3339), m.Fault)
}

// decodeMended reads what encode wrote; anything else is as if there were nothing.
func decodeMended(text []byte) Mended {
	at, kind, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	t, err := time.Parse(time.RFC3339, at)
	if err != nil || !slices.Contains(Faults(), kind) {
		return Mended{}
	}
	return Mended{t, kind}
}

// Reasons why what is stored is not taken over.
const (
	faultDeleted = "deleted"
	faultEmptied = "emptied"
	faultDamaged = "damaged"
	faultOlder   = "older"
	faultForeign = "foreign"
)

// Faults are what can be wrong with what is stored: the keys of Authority.Restored.
func Faults() []string {
	return []string{faultDeleted, faultEmptied, faultDamaged, faultOlder, faultForeign}
}

// fault is what is wrong with what is stored, for a replica that holds a
// keyring.
type fault struct {
	kind string
	text string
}

func (f *fault) Error() string { return f.text }

// stored is what Storage holds.
type stored struct {
	keyring *keyring // nil when there is none, or when it is damaged
	version string
	emptied bool  // it is there and holds no root
	damaged error // why it cannot be read as a keyring
}

// fault says why a replica that holds a keyring must not take over what is
// stored; nil when it may.
func (s stored) fault(held *keyring, place Storage, now time.Time) *fault {
	switch {
	case held.empty():
		return nil // nothing can be lost
	case s.damaged != nil:
		return &fault{faultDamaged, fmt.Sprintf("%s is damaged: %v", place, s.damaged)}
	case s.emptied:
		return &fault{faultEmptied, fmt.Sprintf("%s was emptied", place)}
	case s.keyring == nil:
		return &fault{faultDeleted, fmt.Sprintf("%s was deleted", place)}
	case s.keyring.follows(held, now):
		return nil
	case s.keyring.origin == held.origin && s.keyring.knows(held):
		return &fault{faultOlder, fmt.Sprintf("%s holds an earlier state of the roots, or an edited one", place)}
	default:
		return &fault{faultForeign, fmt.Sprintf("%s holds roots that are not those of this mesh", place)}
	}
}

func (k *keyring) empty() bool {
	return k == nil || k.own == nil && k.next == nil && len(k.trusted) == 0
}

// follows says whether k is held or a later state of it.
func (k *keyring) follows(held *keyring, now time.Time) bool {
	switch {
	case k == held:
		return true
	case k.origin != "" && k.origin == held.origin && k.generation != held.generation:
		return k.generation > held.generation
	case k.origin == held.origin && maps.EqualFunc(k.encode(), held.encode(), func(a, b []byte) bool { return string(a) == string(b) }):
		return true
	case k.origin != "" && held.origin != "":
		return false
	}
	// One of the two was written without a lineage: it follows when all is there
	// that is needed, and no stranger signs.
	for _, r := range held.needed(now) {
		if !contains(k.roots(), r) {
			return false
		}
	}
	return k.knows(held)
}

// knows says whether a self-signed root that k has for signing is one of held,
// or k has none.
func (k *keyring) knows(held *keyring) bool {
	return k.own == nil || contains(held.roots(), k.own.cert)
}

// restored is held as it is written in place of what is stored.
func (k *keyring) restored(s stored, f *fault, now time.Time) *keyring {
	n := *k
	n.mended = Mended{now.Truncate(time.Second), f.kind}
	if s.keyring != nil && s.keyring.origin == k.origin {
		n.generation = max(n.generation, s.keyring.generation)
	}
	n.lineage = n.newer()
	return &n
}
