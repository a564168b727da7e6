package mesh

import (
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// generations are those of objects (metadata.generation) that the published World was made
// of. Safe for concurrent use.
type generations struct {
	mu sync.Mutex
	of map[object.Ref]Version
}

// Version tells states of an object apart.
type Version struct {
	Generation int64     // metadata.generation, which begins anew when an object is made again
	UID        types.UID // metadata.uid, another one then; empty in manifests
}

// InForce is the version of an object that the newest published World was made of: whoever
// was told of that World was told of it. False for an object that it has not, and for
// kinds that people do not wait for, such as Pods. A route that is held back until its
// destination is there is not in force.
func (s *Store) InForce(ref object.Ref) (v Version, ok bool) {
	s.inForce.mu.Lock()
	defer s.inForce.mu.Unlock()
	v, ok = s.inForce.of[ref]
	return v, ok
}

// deleted stands for the version of an object that was deleted.
var deleted = Version{Generation: -1}

// noteGenerations notes those of the changes.
func noteGenerations(taken map[object.Ref]Version, changes []Change) {
	for _, c := range changes {
		if !Awaited(c.Ref.Kind) {
			continue
		}
		taken[c.Ref] = deleted
		if m, ok := c.Object.(metav1.Object); ok && c.Object != nil {
			taken[c.Ref] = Version{m.GetGeneration(), m.GetUID()}
		}
	}
}

// Awaited tells whether generations of objects of a kind are kept: those of rules, which
// people write, and not those of the many objects that Kubernetes makes by itself.
func Awaited(k object.Kind) bool {
	return k.Istio() || k == object.KindIngress || k == object.KindIngressClass || strings.HasPrefix(string(k), "gateway.networking.k8s.io/")
}

// settle moves to what is in force what was taken, is not held back, and does not wait for
// its turn.
func (g *generations) settle(taken map[object.Ref]Version, held map[object.Ref]*hold, waiting func(object.Ref) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[object.Ref]Version{}
	}
	for ref, version := range taken {
		switch {
		case waiting(ref):
			continue
		case version == deleted:
			delete(g.of, ref)
		case held[ref] != nil:
			continue
		default:
			g.of[ref] = version
		}
		delete(taken, ref)
	}
}
