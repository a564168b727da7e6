// Package outdated finds the workloads whose proxies were made by another version
// of Fairway: a pod keeps the proxy that it was injected with as long as it
// lives, whatever the control plane is upgraded to.
//
// It must never change anything: when pods are made anew is their owner's choice.
package outdated

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// group are the proxies of a workload that one version made.
type group struct {
	namespace, workload, version string
}

// Findings tells, for each workload and version other than that of this control
// plane, how many of the connected proxies it made. Proxies that do not say who
// made them, by a bootstrap of somebody's own, are passed over.
func Findings(version string, proxies []snapshot.Client) []object.Finding {
	counts := map[group]int{}
	for _, c := range proxies {
		if c.Fairway != "" && c.Fairway != version {
			counts[group{c.Namespace, cmp.Or(c.Workload, c.Pod), c.Fairway}]++
		}
	}
	out := make([]object.Finding, 0, len(counts))
	for g, n := range counts {
		out = append(out, object.Finding{
			Object: object.Ref{Kind: object.KindWorkload, Namespace: g.namespace, Name: g.workload}, Code: object.CodeOutdated,
			Message: fmt.Sprintf("%d of its proxies: injected by Fairway %s, and the control plane is %s; they stay as they are until their pods are made anew: kubectl rollout restart", n, g.version, version),
		})
	}
	slices.SortFunc(out, func(a, b object.Finding) int {
		return cmp.Or(cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Message, b.Message))
	})
	return out
}
