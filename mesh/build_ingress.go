package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	netv1 "k8s.io/api/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ingresses are what building keeps of the kinds of networking.k8s.io.
type ingresses struct {
	all     map[object.Ref]*ingress
	classes map[string]string   // controllers by the name of the class
	made    map[string]struct{} // names of the Gateways
	stale   bool
}

func newIngresses() ingresses {
	return ingresses{all: map[object.Ref]*ingress{}, classes: map[string]string{}, made: map[string]struct{}{}}
}

func (b *builder) ingress(ref object.Ref, o *netv1.Ingress) {
	b.changing(ref, b.ingresses.all[ref])
	var next *ingress
	if o != nil {
		next = parseIngress(o)
	}
	b.setIngress(ref, next)
}

// setIngress replaces the version of an Ingress that is in force; nil takes it
// away.
func (b *builder) setIngress(ref object.Ref, next *ingress) {
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
		b.ingresses.stale = b.ingresses.stale || in.refersByName(service)
	}
}

// settleIngresses makes the Gateways of all Ingresses again that the mesh serves,
// since those of one host have their rules in common.
func (b *builder) settleIngresses() {
	if !b.ingresses.stale {
		return
	}
	b.ingresses.stale = false
	var served []*ingress
	for ref, in := range b.ingresses.all {
		b.found(ref, b.classless(in))
		if b.world.Config.servesIngress(in, b.ingresses.classes[in.class]) {
			b.found(ref, append(slices.Clone(in.findings), b.portFindings(in)...))
			served = append(served, in)
		}
	}
	slices.SortFunc(served, func(x, y *ingress) int {
		return cmp.Or(x.created.Compare(y.created), cmp.Compare(x.ref.Namespace, y.ref.Namespace), cmp.Compare(x.ref.Name, y.ref.Name))
	})
	made := map[string]struct{}{}
	maker := &ingressMaker{config: b.world.Config, port: b.portNamed}
	for _, g := range maker.gateways(served) {
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
func (b *builder) classless(in *ingress) []object.Finding {
	if _, there := b.ingresses.classes[in.class]; there || in.annotation != nil || in.class != b.world.Config.ingressClass() {
		return nil
	}
	return []object.Finding{{Object: in.ref, Field: "spec.ingressClassName", Code: object.CodeUnreferenced, Missing: object.Ref{Kind: object.KindIngressClass, Name: in.class}, Message: fmt.Sprintf(
		"there is no IngressClass %s; nothing is served by the Ingress until there is: create one with spec.controller %s, or use the annotation %s", in.class, ingressController, IngressClassAnnotation)}}
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
func (b *builder) portFindings(in *ingress) (out []object.Finding) {
	for _, p := range in.everything() {
		if p.namely && b.portNamed(object.Ref{Kind: object.KindService, Namespace: in.ref.Namespace, Name: p.to.Name}, p.to.Port.Name) == 0 {
			out = append(out, object.Finding{Object: in.ref, Field: p.field + ".backend.service.port.name", Code: object.CodePortNotFound,
				Message: "there is no Service " + in.ref.Namespace + "/" + p.to.Name + " with a port named " + p.to.Port.Name + "; requests get 500 until there is: check both names"})
		}
	}
	return out
}
