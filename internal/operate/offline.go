package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Offline is a directory of YAML as the control plane would serve it, without
// one.
type Offline struct {
	world   *mesh.World
	engine  *snapshot.Engine
	assumed map[object.Ref]bool // Pods whose addresses are not known
	stacks  map[holder]snapshot.Stack
	decoded map[snapshot.Stack]*explain.Resources // what Resources gave last
}

// holder tells workloads apart; those that stand for Pods which nobody has seen may share a
// name.
type holder struct {
	ref    object.Ref
	labels string
}

// maxDecoded is how many different sets of resources are kept decoded.
const maxDecoded = 64

// ReadOffline reads the directory once and translates it as `fairway serve
// --config` would.
func ReadOffline(ctx context.Context, directory string) (*Offline, error) {
	all, err := readDirectory(ctx, directory)
	if err != nil {
		return nil, err
	}
	return newOffline(all), nil
}

// newOffline translates the objects.
func newOffline(all objects) *Offline {
	o := &Offline{world: mesh.Build(slices.Collect(maps.Values(all))), engine: snapshot.NewEngine(slog.New(slog.DiscardHandler), nil, nil),
		stacks: map[holder]snapshot.Stack{}, decoded: map[snapshot.Stack]*explain.Resources{}}
	o.engine.Update(o.world, &mesh.Dirty{All: true})
	return o
}

// ReadMesh reads the objects of a cluster, unless kubeconfig is nil (an empty one stands for
// the usual places), puts those of manifests in their place as `fairway check` reads them, and
// translates the whole.
func ReadMesh(ctx context.Context, kubeconfig *string, manifests []string, stdin io.Reader) (*Offline, error) {
	all := objects{}
	if kubeconfig != nil {
		var err error
		if all, err = readCluster(ctx, *kubeconfig); err != nil {
			return nil, err
		}
	}
	more, assumed, err := check.Implied(slices.Collect(maps.Values(all)), manifests, stdin)
	if err != nil {
		return nil, err
	}
	for _, c := range more {
		all[c.Ref] = c
	}
	o := newOffline(all)
	o.assumed = assumed
	return o, nil
}

// Assumed tells whether the addresses of a workload stand for those that it will get.
func (o *Offline) Assumed(w *registry.Workload) bool { return o.assumed[w.Ref] }

// attach shows what the proxy of a workload sees.
func (o *Offline) attach(ctx context.Context, w *registry.Workload) (*snapshot.View, error) {
	client := o.clientOf(w)
	view, err := o.engine.Attach(ctx, &client)
	if err != nil {
		return nil, fmt.Errorf("translating for %s: %w", proxyName(w), err)
	}
	return view, nil
}

// Dump is what the workload's proxy would be given.
func (o *Offline) Dump(ctx context.Context, w *registry.Workload) (explain.Dump, error) {
	view, err := o.attach(ctx, w)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	value, err := o.engine.Dump(o.clientOf(w).NodeID, true)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var d explain.Dump
	return d, json.Unmarshal(text, &d)
}

// Resources are what the workload's proxy would be given, as far as it decides where
// requests go. Workloads whose proxies hold the same share them. Only one goroutine may ask
// at a time.
func (o *Offline) Resources(ctx context.Context, w *registry.Workload) (*explain.Resources, error) {
	key := holder{w.Ref, object.CanonicalLabels(w.Labels)}
	stack, known := o.stacks[key]
	if !known {
		view, err := o.attach(ctx, w)
		if err != nil {
			return nil, err
		}
		defer view.Close()
		stack = view.Current()
		o.stacks[key] = stack
	}
	if all := o.decoded[stack]; all != nil {
		return all, nil
	}
	all := explain.NewResources()
	for t := range snapshot.NumTypes {
		for r := range stack.All(t) {
			if err := all.Add(t.String(), r.Name, r.Body()); err != nil {
				return nil, err
			}
		}
	}
	if len(o.decoded) == maxDecoded {
		clear(o.decoded)
	}
	o.decoded[stack] = all
	return all, nil
}

// clientOf is what the proxy of a workload would say of itself.
func (o *Offline) clientOf(w *registry.Workload) snapshot.Client {
	role := snapshot.RoleSidecar
	if o.world.RoleOf(w) == mesh.RoleRouter {
		role = snapshot.RoleRouter
	}
	return snapshot.Client{
		NodeID: string(role) + "~" + w.Address() + "~" + proxyName(w) + "~" + w.Namespace + ".svc." + object.Domain,
		Role:   role, IP: w.Address(), Pod: w.Name, Namespace: w.Namespace, Domain: w.Namespace + ".svc." + object.Domain,
		Labels: w.Labels, ServiceAccount: w.ServiceAccount, NodeName: w.Node, Delta: true, VHDS: true,
		Locality: snapshot.Locality{Region: w.Locality.Region, Zone: w.Locality.Zone, SubZone: w.Locality.SubZone},
	}
}

func proxyName(w *registry.Workload) string { return w.Name + "." + w.Namespace }

// World is the mesh that was read.
func (o *Offline) World() *mesh.World { return o.world }

// Findings are what is wrong with the objects, as the control plane tells it
// while the workloads given are connected.
func (o *Offline) Findings() []object.Finding { return o.engine.Findings() }

// Workload is a workload of the directory; nil when there is none.
func (o *Offline) Workload(namespace, name string) *registry.Workload {
	return o.world.Workload(namespace, name)
}
