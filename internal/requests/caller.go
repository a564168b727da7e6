package requests

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// workloadKinds are what stands before the name of a caller.
var workloadKinds = map[string]bool{
	"": true, "deploy": true, "deployment": true, "statefulset": true, "sts": true, "daemonset": true, "ds": true,
	"replicaset": true, "rs": true, "job": true, "cronjob": true, "cj": true, "pod": true, "po": true, "gateway": true,
}

// caller is the workload that a request comes from, or through.
func (m *Mesh) caller(s *Suite, from string) (*registry.Workload, error) {
	kind, name, ok := strings.Cut(from, "/")
	if !ok {
		kind, name = "", from
	}
	if !workloadKinds[kind] {
		return nil, fmt.Errorf("from %q: there are deploy, statefulset, daemonset, replicaset, job, cronjob, pod and gateway", from)
	}
	namespace := s.Namespace
	world := m.offline.World()
	if kind == "gateway" {
		return m.gateway(name, namespace)
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name, namespace = name[:i], name[i+1:]
	}
	for _, w := range world.Workloads() {
		pod := kind == "pod" || kind == "po"
		if w.Namespace == namespace && w.Ref.Kind == object.KindPod && (pod && w.Name == name || !pod && w.Owner == name) {
			return w, nil
		}
	}
	return nil, fmt.Errorf("from %q: no pod of it is in namespace %s", from, namespace)
}

// gateway is a pod that a Gateway selects, or what stands for one where there is none.
func (m *Mesh) gateway(name, namespace string) (*registry.Workload, error) {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name, namespace = name[:i], name[i+1:]
	}
	world := m.offline.World()
	g := world.Gateway(namespace + "/" + name)
	if g == nil {
		return nil, fmt.Errorf("there is no Gateway %s/%s", namespace, name)
	}
	for _, p := range world.ImpliedProxies() {
		if p.Role == mesh.RoleRouter && g.Selects(p.Workload.Namespace, p.Workload.Labels) {
			return p.Workload, nil
		}
	}
	return nil, errors.New("no pod is selected by Gateway " + namespace + "/" + name)
}
