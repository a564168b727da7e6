package mesh

import (
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// generations are those of objects (metadata.generation) that the published World was made
// of. Safe for concurrent use.
type generations struct {
	mu sync.Mutex
	of map[object.Ref]int64
}

// InForce is the generation of an object that the newest published World was made of: whoever
// was told of that World was told of it. False for an object that it has not, and for
// kinds that people do not wait for, such as Pods. A route that is held back until its
// destination is there is not in force.
func (s *Store) InForce(ref object.Ref) (generation int64, ok bool) {
	s.inForce.mu.Lock()
	defer s.inForce.mu.Unlock()
	generation, ok = s.inForce.of[ref]
	return generation, ok
}

// deleted stands for the generation of an object that was deleted.
const deleted = -1

// noteGenerations notes those of the changes.
func noteGenerations(taken map[object.Ref]int64, changes []Change) {
	for _, c := range changes {
		if !Awaited(c.Ref.Kind) {
			continue
		}
		taken[c.Ref] = deleted
		if m, ok := c.Object.(metav1.Object); ok && c.Object != nil {
			taken[c.Ref] = m.GetGeneration()
		}
	}
}

// Awaited tells whether generations of objects of a kind are kept: those of rules, which
// people write, and not those of the many objects that Kubernetes makes by itself.
func Awaited(k object.Kind) bool {
	return k.Istio() || k == object.KindIngress || k == object.KindIngressClass || strings.HasPrefix(string(k), "gateway.networking.k8s.io/")
}

// settle moves to what is in force what was taken and is not held back.
func (g *generations) settle(taken map[object.Ref]int64, held map[object.Ref]*hold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[object.Ref]int64{}
	}
	for ref, generation := range taken {
		switch {
		case generation == deleted:
			delete(g.of, ref)
		case held[ref] != nil:
			continue
		default:
			g.of[ref] = generation
		}
		delete(taken, ref)
	}
}
