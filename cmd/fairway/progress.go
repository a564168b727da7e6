package main

import (
	"os"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/status"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// progressOf says how far the proxies of this replica are with objects. It looks at what is
// in force before it looks at proxies: what they lack of it then is counted.
func progressOf(store *mesh.Store, server *discovery.Server, findings func() []object.Finding) func([]object.Ref) []debug.Progress {
	return func(of []object.Ref) []debug.Progress {
		out := make([]debug.Progress, 0, len(of))
		for _, ref := range of {
			p := debug.Progress{Replica: os.Getenv("POD_NAME"), Object: ref.String()}
			v, _ := store.InForce(ref)
			p.Generation, p.UID = v.Generation, string(v.UID)
			out = append(out, p)
		}
		asked := map[object.Ref][]int{}
		traced := make([]object.Ref, 0, len(of))
		for i, ref := range of {
			asked[ref] = append(asked[ref], i)
			if !status.Traced(ref.Kind) {
				ref = object.Ref{} // it may be in anything
			}
			traced = append(traced, ref)
		}
		lacking, wanted := server.Lacking(traced, debug.MaxMissing), server.Deliveries(time.Now())
		for i, ref := range of {
			l := lacking[traced[i]]
			out[i].Proxies, out[i].Lacking, out[i].Missing = wanted[ref].Proxies, l.Proxies, l.Names
		}
		for _, f := range findings() {
			for _, i := range asked[f.Object] {
				out[i].Findings = append(out[i].Findings, debug.Findings([]object.Finding{f})...)
			}
		}
		return out
	}
}
