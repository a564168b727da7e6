package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	netv1 "k8s.io/api/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// ingresses are what building keeps of the kinds of networking.k8s.io.
type ingresses struct {
	all     map[object.Ref]*gatewayapi.Ingress
	classes map[string]string   // controllers by the name of the class
	made    map[string]struct{} // names of the Gateways
	stale   bool
}

func newIngresses() ingresses {
	return ingresses{all: map[object.Ref]*gatewayapi.Ingress{}, classes: map[string]string{}, made: map[string]struct{}{}}
}

func (b *builder) ingress(ref object.Ref, o *netv1.Ingress) {
	b.changing(ref, b.ingresses.all[ref])
	var next *gatewayapi.Ingress
	if o != nil {
		next = gatewayapi.ParseIngress(o)
	}
	b.setIngress(ref, next)
}

// setIngress replaces the version of an Ingress that is in force; nil takes it
// away.
func (b *builder) setIngress(ref object.Ref, next *gatewayapi.Ingress) {
	if next == b.ingresses.all[ref] {
		return
	}
	if next == nil {
		delete(b.ingresses.all, ref)
	} else {
		b.ingresses.all[ref] = next
	}
	b.found(ref, nil)
	b.ingresses.stale = true
}

func (b *builder) ingressClass(ref object.Ref, o *netv1.IngressClass) {
	delete(b.ingresses.classes, ref.Name)
	if o != nil {
		b.ingresses.classes[ref.Name] = o.Spec.Controller
	}
	b.ingresses.stale = true
}

// staleIngresses notes that ports of a Service may have other numbers.
func (b *builder) staleIngresses(service object.Ref) {
	for _, in := range b.ingresses.all {
		b.ingresses.stale = b.ingresses.stale || in.RefersByName(service)
	}
}

// settleIngresses makes the Gateways of all Ingresses again that the mesh serves,
// since those of one host have their rules in common.
func (b *builder) settleIngresses() {
	if !b.ingresses.stale {
		return
	}
	b.ingresses.stale = false
	var served []*gatewayapi.Ingress
	for ref, in := range b.ingresses.all {
		b.found(ref, b.classless(in))
		if in.ServedBy(b.world.Config.MeshConfig, b.ingresses.classes[in.Class]) {
			b.found(ref, append(slices.Clone(in.Findings), b.portFindings(in)...))
			served = append(served, in)
		}
	}
	slices.SortFunc(served, func(x, y *gatewayapi.Ingress) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.Ref.Namespace, y.Ref.Namespace), cmp.Compare(x.Ref.Name, y.Ref.Name))
	})
	made := map[string]struct{}{}
	for _, g := range gatewayapi.IngressGateways(b.world.Config.MeshConfig, served, b.portNamed) {
		made[g.Name] = struct{}{}
		b.world.gateways = b.world.gateways.Set(g.Name, g)
		b.leads.set(g.Name, leadsOfGateway(g, b.ingressClient().namespace))
	}
	for name := range maps.Keys(b.ingresses.made) {
		if _, still := made[name]; !still {
			b.world.gateways = b.world.gateways.Delete(name)
			b.leads.set(name, nil)
		}
	}
	b.ingresses.made = made
	b.dirty.Gateways = true
}

// classless tells of an Ingress of the mesh's class by a name that no IngressClass has.
func (b *builder) classless(in *gatewayapi.Ingress) []object.Finding {
	if _, there := b.ingresses.classes[in.Class]; there || in.Annotation != nil || in.Class != gatewayapi.IngressClass(b.world.Config.MeshConfig) {
		return nil
	}
	return []object.Finding{{Object: in.Ref, Field: "spec.ingressClassName", Code: object.CodeUnreferenced, Missing: object.Ref{Kind: object.KindIngressClass, Name: in.Class}, Message: fmt.Sprintf(
		"there is no IngressClass %s; nothing is served by the Ingress until there is: create one with spec.controller %s, or use the annotation %s", in.Class, gatewayapi.IngressController, gatewayapi.IngressClassAnnotation)}}
}

// portNamed is the number of a Service's port; 0: there is none of the name.
func (b *builder) portNamed(service object.Ref, name string) uint32 {
	s := b.services[service.Namespace][service.Name]
	if s == nil {
		return 0
	}
	for _, p := range s.Ports {
		if p.Name == name {
			return p.Number
		}
	}
	return 0
}

// portFindings tell which names of ports no Service has.
func (b *builder) portFindings(in *gatewayapi.Ingress) (out []object.Finding) {
	for _, p := range in.Paths() {
		if p.ByName && b.portNamed(object.Ref{Kind: object.KindService, Namespace: in.Ref.Namespace, Name: p.To.Name}, p.To.Port.Name) == 0 {
			out = append(out, object.Finding{Object: in.Ref, Field: p.Backend + ".service.port.name", Code: object.CodePortNotFound,
				Message: "there is no Service " + in.Ref.Namespace + "/" + p.To.Name + " with a port named " + p.To.Port.Name + "; requests get 500 until there is: check both names"})
		}
	}
	return out
}
