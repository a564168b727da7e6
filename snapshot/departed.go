package snapshot

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// departed are the UIDs of Pods that were deleted lately. The API server goes on
// to accept their tokens for some seconds (it remembers ten, as of
// k8s.io/apiserver), and a Pod that is not in the world may only be newer than
// it.
type departed struct{ uids *lru.Cache[string, time.Time] }

// departedSize bounds them: many more than are deleted in those seconds.
const departedSize = 10_000

func newDeparted() departed {
	uids, err := lru.New[string, time.Time](departedSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return departed{uids}
}

// note remembers the Pods that were in one world and are not in the next.
func (d departed) note(old, now *mesh.World, dirty *mesh.Dirty) {
	if old == nil {
		return
	}
	for ref := range dirty.Workloads {
		was, is := old.Workload(ref.Namespace, ref.Name), now.Workload(ref.Namespace, ref.Name)
		if was != nil && was.UID != "" && (is == nil || is.UID != was.UID) {
			d.uids.Add(was.UID, time.Now())
		}
	}
}

// forget drops those that were deleted before.
func (d departed) forget(before time.Time) {
	for _, at, ok := d.uids.GetOldest(); ok && at.Before(before); _, at, ok = d.uids.GetOldest() {
		d.uids.RemoveOldest()
	}
}

func (d departed) has(uid string) bool { return uid != "" && d.uids.Contains(uid) }

// of says whether the proof is that of this very Pod.
func (i Identity) of(w *registry.Workload) bool { return w != nil && w.UID == i.PodUID }

// revoked is the status for who has the proof of a Pod that was deleted.
func (i Identity) revoked() error {
	return status.Errorf(codes.Unauthenticated, "%s was deleted; its credential is no longer valid", i)
}

// lost says whether the Pod that the proxy has proven to be in was known and is
// no longer there, now being what has its name. A Pod that was never known may
// only be newer than the world.
func (a *attached) lost(now *registry.Workload) bool {
	id := a.client.Identity
	return id.PodUID != "" && id.of(a.proxy.Workload) && !id.of(now)
}
