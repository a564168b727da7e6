package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// part is what of a mesh the files hold. A name is looked up only where they hold what
// would have it: the rest of the mesh may stand in other files.
type part struct {
	kinds   map[object.Kind]map[string]bool // namespaces with objects of the kind
	routers bool                            // pods of some Gateway are known
	missing map[string]map[string]bool      // names that were not looked up, by what they are
	// refused are, where everything else was looked up, the Secrets that could not be
	// read; nil: it is a part.
	refused map[object.Ref]bool
}

// allBut is a whole mesh but for Secrets that may not be read.
func allBut(refused map[object.Ref]bool) *part {
	return &part{refused: refused, missing: map[string]map[string]bool{}}
}

func newPart(objects []mesh.Change, w *mesh.World) *part {
	p := &part{kinds: map[object.Kind]map[string]bool{}, missing: map[string]map[string]bool{}}
	for _, o := range objects {
		if p.kinds[o.Ref.Kind] == nil {
			p.kinds[o.Ref.Kind] = map[string]bool{}
		}
		p.kinds[o.Ref.Kind][o.Ref.Namespace] = true
	}
	p.routers = slices.ContainsFunc(w.ImpliedProxies(), func(x *mesh.Proxy) bool {
		return x.Role == mesh.RoleRouter && w.Workload(x.Workload.Namespace, x.Workload.Name) == x.Workload
	})
	return p
}

// holds tells whether the files hold objects of a kind in the namespace; "" is any.
func (p *part) holds(namespace string, kinds ...object.Kind) bool {
	for _, k := range kinds {
		if namespace == "" && len(p.kinds[k]) > 0 || p.kinds[k][namespace] {
			return true
		}
	}
	return false
}

// skip tells whether what a finding misses may stand in other files, and notes it then.
func (p *part) skip(f object.Finding) bool {
	if p.refused != nil {
		if f.Code == object.CodeSecret && f.Object.Kind != object.KindSecret { // the finding of the Secret names it
			return len(p.refused) > 0
		}
		return f.Code == object.CodeSecret && p.note("Secrets", f.Object.Namespace+"/"+f.Object.Name, !p.refused[f.Object])
	}
	m := f.Missing
	name := m.Namespace + "/" + m.Name
	switch m.Kind {
	case "":
		return f.Code == object.CodeSecret && p.skipSecret(f)
	case object.KindHost:
		if service, namespace, ok := serviceOf(m.Name); ok {
			return p.note("Services of namespace "+namespace, service, p.holds(namespace, object.KindService))
		}
		return p.note("ServiceEntries", m.Name, p.holds(f.Object.Namespace, object.KindService, object.KindServiceEntry))
	case object.KindService:
		return p.note("Services of namespace "+m.Namespace, m.Name, p.holds(m.Namespace, object.KindService))
	case object.KindGateway, object.KindKubeGateway:
		return p.note("Gateways of namespace "+m.Namespace, m.Name, p.holds(m.Namespace, object.KindGateway, object.KindKubeGateway))
	case object.KindListenerSet:
		return p.note("ListenerSets of namespace "+m.Namespace, m.Name, p.holds(m.Namespace, object.KindKubeGateway, object.KindListenerSet))
	case object.KindWorkload:
		if f.Object.Kind == object.KindGateway {
			return p.note("pods of gateways", "those of "+f.Object.String(), p.routers)
		}
		return p.note("workloads", "those of "+f.Object.String(), p.holds(m.Namespace, object.KindPod, object.KindWorkloadEntry))
	case object.KindRequestAuthentication: // of a namespace that the files hold they hold them all
		return p.note("RequestAuthentications", "those of namespace "+m.Namespace, p.holds(m.Namespace, m.Kind, object.KindPod, object.KindService))
	case object.KindVirtualService:
		return p.note("VirtualServices of namespace "+m.Namespace, m.Name, p.holds(m.Namespace, object.KindVirtualService))
	}
	if m.Namespace == "" {
		name = m.Name
	}
	return p.note(string(m.Kind)+" objects", name, p.holds(m.Namespace, m.Kind))
}

// skipSecret does so for Secrets, which are looked for beside the pods of gateways.
func (p *part) skipSecret(f object.Finding) bool {
	if f.Object.Kind == object.KindSecret && p.kinds[object.KindSecret][f.Object.Namespace] {
		return false
	}
	looked := p.routers || p.holds(f.Object.Namespace, object.KindSecret)
	if f.Object.Kind != object.KindSecret { // the finding of the Secret names it
		return !looked
	}
	return p.note("Secrets", f.Object.Namespace+"/"+f.Object.Name, looked)
}

func (p *part) note(what, name string, looked bool) bool {
	if looked {
		return false
	}
	if p.missing[what] == nil {
		p.missing[what] = map[string]bool{}
	}
	p.missing[what][name] = true
	return true
}

// serviceOf takes the name of a Service apart, "cart.shop.svc.cluster.local".
func serviceOf(host string) (service, namespace string, ok bool) {
	name, ok := strings.CutSuffix(host, ".svc."+object.Domain)
	if !ok {
		return "", "", false
	}
	service, namespace, ok = strings.Cut(name, ".")
	return service, namespace, ok && !strings.Contains(namespace, ".")
}

// shownNames is how many names of one sort are listed.
const shownNames = 3

// finding says once what was not looked up; false: everything was.
func (p *part) finding() (object.Finding, bool) {
	if len(p.missing) == 0 {
		return object.Finding{}, false
	}
	var sorts []string
	for _, what := range slices.Sorted(maps.Keys(p.missing)) {
		names := slices.Sorted(maps.Keys(p.missing[what]))
		text := strings.Join(names[:min(len(names), shownNames)], ", ")
		if more := len(names) - shownNames; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		sorts = append(sorts, what+" ("+text+")")
	}
	if p.refused != nil {
		return object.Finding{Object: object.Ref{Kind: "Cluster"}, Code: object.CodeNotLookedUp,
			Message: "these were not looked up, since the API server refuses to tell them: " + strings.Join(sorts, "; ") + ". Ask with the right to read them"}, true
	}
	return object.Finding{Object: object.Ref{Kind: "Files"}, Code: object.CodeNotLookedUp,
		Message: "these were not looked up, since the files have none there: " + strings.Join(sorts, "; ") + ". Give the other files too, or --kubeconfig"}, true
}
