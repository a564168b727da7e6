package gateways

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Findings are the Gateways that no Pod serves, and why. Safe for concurrent use.
func (d *Deployer) Findings() (out []object.Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, trouble := range d.troubles {
		out = append(out, object.Finding{Object: ref, Code: object.CodePending, Message: trouble})
	}
	return out
}

// trouble is what was found of a Gateway last.
func (d *Deployer) trouble(ref object.Ref) (trouble string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	trouble, is = d.troubles[ref]
	return trouble, is
}

// set says what is the matter with a Gateway; "" is nothing.
func (d *Deployer) set(ref object.Ref, trouble string) {
	d.mu.Lock()
	next := maps.Clone(d.troubles)
	d.mu.Unlock()
	if next == nil {
		next = map[object.Ref]string{}
	}
	if next[ref] = trouble; trouble == "" {
		delete(next, ref)
	}
	d.tell(next)
}

// keep forgets what was the matter with Gateways that are managed no more.
func (d *Deployer) keep(w *mesh.World) {
	managed := map[object.Ref]struct{}{}
	for _, g := range w.GatewayAPI().ManagedGateways() {
		managed[g.Ref] = struct{}{}
	}
	for _, f := range d.Findings() {
		if _, is := managed[f.Object]; !is {
			d.set(f.Object, "")
		}
	}
}

// tell replaces what is the matter with Gateways.
func (d *Deployer) tell(troubles map[object.Ref]string) {
	d.mu.Lock()
	same := len(troubles) == 0 && len(d.troubles) == 0
	d.troubles = troubles
	d.mu.Unlock()
	if d.Changed != nil && !same {
		d.Changed()
	}
}

// idle says why a Deployment has no Pod that is ready; "" when it has one.
func idle(u *unstructured.Unstructured) string {
	if ready, _, _ := unstructured.NestedInt64(u.Object, "status", "readyReplicas"); ready > 0 {
		return ""
	}
	name := u.GetNamespace() + "/" + u.GetName()
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] == "ReplicaFailure" && c["status"] == "True" {
			return fmt.Sprintf("Deployment %s cannot make Pods: %v", name, c["message"])
		}
	}
	return fmt.Sprintf("no Pod of Deployment %s is ready yet: if that stays so, its events and those of its Pods say why", name)
}
