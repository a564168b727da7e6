package informers

import (
	"encoding/json"

	"github.com/cespare/xxhash/v2"
)

// fingerprint is the same for two trimmed objects that say the same. By it a
// source knows what it has handed on without keeping it, and leaves out updates
// that change nothing that is read, such as those of a status.
func fingerprint(o kubeObject) uint64 {
	var b []byte
	var err error
	if m, ok := o.(interface{ Marshal() ([]byte, error) }); ok { // Kubernetes' own kinds; their maps are sorted
		b, err = m.Marshal()
	} else {
		b, err = json.Marshal(o)
	}
	if err != nil { // it was read from the same form
		return 0
	}
	return max(xxhash.Sum64(b), 1)
}
