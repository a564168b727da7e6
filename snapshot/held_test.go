package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestHeldRoutesEqualFromNothing holds two things of routes that are held back,
// and of what is kept for them: at any moment the layers are what they would be
// if they were computed from nothing for this World; and once nothing is held
// any more the World is as if it had started with the objects as they are.
func TestHeldRoutesEqualFromNothing(t *testing.T) {
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 11))
			router := routerPod()
			objects := map[object.Ref]any{router.Ref: router.Object}
			p := newHoldingPlane(t)
			p.store.Submit([]mesh.Change{router})
			p.store.Synced()
			p.settle(t, 0)
			p.attach(t)
			for step := range 60 {
				var changes []mesh.Change
				for range 1 + r.IntN(3) {
					c := randomChange(r, objects)
					if c.Ref.Kind == object.KindMeshConfigFile {
						continue
					}
					changes = append(changes, c)
					if c.Object == nil {
						delete(objects, c.Ref)
					} else {
						objects[c.Ref] = c.Object
					}
				}
				held := map[string]snapshot.Stack{}
				for id, v := range p.views {
					held[id] = v.Current()
				}
				p.store.Submit(changes)
				p.settle(t, step+1)
				for w := (*mesh.World)(nil); w != p.store.World(); { // again if a hold came to its end meanwhile
					if w = p.shown.Load(); w != p.store.World() {
						continue
					}
					fresh := newPlane(t)
					fresh.engine.Update(w, &mesh.Dirty{All: true})
					fresh.attach(t)
					got := map[string]map[string]string{}
					for id, v := range p.views {
						got[id] = content(v.Current())
					}
					if w == p.store.World() {
						same(t, step, changes, got, fresh)
					}
				}
				for id, v := range p.views {
					compareDiff(t, id, held[id], v.Current())
				}
				if t.Failed() {
					return
				}
			}
			ref := object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}
			objects[ref] = []byte("fairway: {routeHold: 0s}")
			p.store.Submit([]mesh.Change{{Ref: ref, Object: objects[ref]}})
			p.settle(t, 1000)
			fresh := newPlane(t)
			for ref, o := range objects {
				fresh.store.Submit([]mesh.Change{{Ref: ref, Object: o}})
			}
			fresh.store.Synced()
			fresh.settle(t, 0)
			fresh.attach(t)
			got := map[string]map[string]string{}
			for id, v := range p.views {
				got[id] = content(v.Current())
			}
			same(t, 1000, nil, got, fresh)
		})
	}
}

func same(t *testing.T, step int, changes []mesh.Change, got map[string]map[string]string, fresh *plane) {
	t.Helper()
	for id, v := range fresh.views {
		compare(t, step, id, changes, got[id], content(v.Current()))
	}
}
