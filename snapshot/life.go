package snapshot

import (
	"fmt"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// RuntimeName is the RTDS layer that Fairway's bootstraps ask for. Envoy waits
// for it when it starts, so it is always served. It has two values: drainingKey, for
// proxies whose Pods end, is the percentage of readiness checks that the bootstrap's
// listener fails; asksKey says that all listeners of a sidecar ask for hosts that it does
// not hold, which the sidecar is asked to remember for the next control plane. Nothing in
// Envoy reads that one.
const (
	RuntimeName = "fairway"
	drainingKey = "fairway.draining"
	asksKey     = "fairway.asks"
)

// life is what proxies get for where their Pods are in their lives: whether they serve or
// end, and by whether all their listeners ask for hosts. All proxies share the revisions.
type life struct{ serving, ending map[bool]*Revision }

func newLife() life {
	runtime := func(fields map[string]*structpb.Value) *Resource {
		return constant(Runtime, RuntimeName, &runtimev3.Runtime{Name: RuntimeName, Layer: &structpb.Struct{Fields: fields}})
	}
	drain := constant(ExtensionConfig, translate.DrainName, translate.Draining())
	ends, asks := structpb.NewNumberValue(100), structpb.NewBoolValue(true)
	type fields = map[string]*structpb.Value
	return life{
		serving: map[bool]*Revision{
			false: NewRevision(runtime(nil)),
			true:  NewRevision(runtime(fields{asksKey: asks})),
		},
		ending: map[bool]*Revision{
			false: NewRevision(runtime(fields{drainingKey: ends}), drain),
			true:  NewRevision(runtime(fields{drainingKey: ends, asksKey: asks}), drain),
		},
	}
}

// constant encodes a message that no object has a part in.
func constant(t Type, name string, m proto.Message) *Resource {
	r, err := NewResource(t, name, m)
	if err != nil { // the message is written in this program
		panic(fmt.Sprintf("encoding %s %q: %v", t, name, err))
	}
	return r
}

// of is the revision for the proxy of a workload. One whose Pod ends drains; asks tells
// whether all its listeners ask for hosts.
func (l life) of(w *registry.Workload, asks bool) *Revision {
	if w.Terminating {
		return l.ending[asks]
	}
	return l.serving[asks]
}

// marks tells whether a version of the layer is one that says that the listeners ask. It
// must go on to be so in later releases: otherwise sidecars hold all hosts for a while
// after an upgrade.
func (l life) marks(version string) bool {
	for _, rev := range []*Revision{l.serving[true], l.ending[true]} {
		if rev.Get(Runtime, RuntimeName).Version == version {
			return true
		}
	}
	return false
}
