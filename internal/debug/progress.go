package debug

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Progress is how far the proxies of one replica are with an object, as JSON shows it.
type Progress struct {
	Replica string `json:"replica,omitempty"`
	Object  string `json:"object"`
	// Generation is the one that was published last, metadata.generation of the object; 0:
	// the replica has none in force.
	Generation int64 `json:"generation"`
	// UID is metadata.uid of the object in force, another one when it was made again; empty
	// from replicas that do not tell.
	UID string `json:"uid,omitempty"`
	// Proxies are those that are to hold something made of the object; 0 also for kinds that
	// no resource names.
	Proxies int `json:"proxies"`
	// Lacking have not accepted the newest of the object, or still hold what was made of it
	// before. Missing names the first of them, "POD.NAMESPACE".
	Lacking  int       `json:"lacking"`
	Missing  []string  `json:"missing,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

const (
	// MaxAwaited is how many objects may be asked about at once.
	MaxAwaited = 100
	// MaxMissing is how many proxies are named for each.
	MaxMissing = 20
)

// progress answers for the objects that the request names.
func (c Config) progress(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["object"]
	if len(names) == 0 || len(names) > MaxAwaited {
		http.Error(w, fmt.Sprintf("name 1 to %d objects: object=KIND/NAMESPACE/NAME", MaxAwaited), http.StatusBadRequest)
		return
	}
	var of []object.Ref
	for _, name := range names {
		ref, err := ParseRef(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		of = append(of, ref)
	}
	writeJSON(w, c.Progress(of))
}

// ParseRef reads KIND/NAMESPACE/NAME, of which the kind may have a group before it; the
// namespace is empty for objects without one.
func ParseRef(s string) (object.Ref, error) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		i = 0
	}
	j := strings.LastIndexByte(s[:i], '/')
	if j <= 0 || i == len(s)-1 {
		return object.Ref{}, fmt.Errorf("%q is not KIND/NAMESPACE/NAME", s)
	}
	return object.Ref{Kind: object.Kind(s[:j]), Namespace: s[j+1 : i], Name: s[i+1:]}, nil
}

// RefText is what ParseRef reads.
func RefText(r object.Ref) string { return string(r.Kind) + "/" + r.Namespace + "/" + r.Name }
