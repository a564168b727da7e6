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
// for it when it starts, so it is always served. Its one value is drainingKey, for
// proxies whose Pods end: the percentage of readiness checks that the bootstrap's
// listener fails.
const (
	RuntimeName = "fairway"
	drainingKey = "fairway.draining"
)

// life is what proxies get for where their Pods are in their lives. There are
// two revisions, which all proxies share.
type life struct{ serving, ending *Revision }

func newLife() life {
	runtime := func(fields map[string]*structpb.Value) *Resource {
		return constant(Runtime, RuntimeName, &runtimev3.Runtime{Name: RuntimeName, Layer: &structpb.Struct{Fields: fields}})
	}
	drain := constant(ExtensionConfig, translate.DrainName, translate.Draining())
	return life{
		serving: NewRevision(runtime(nil)),
		ending:  NewRevision(runtime(map[string]*structpb.Value{drainingKey: structpb.NewNumberValue(100)}), drain),
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

// of is the revision for the proxy of a workload. One whose Pod ends drains.
func (l life) of(w *registry.Workload) *Revision {
	if w.Terminating {
		return l.ending
	}
	return l.serving
}
