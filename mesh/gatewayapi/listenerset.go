package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxSetListeners is how many listeners the API lets a ListenerSet have.
const maxSetListeners = 64

// ListenerSet is a ListenerSet, read once. It never changes.
type ListenerSet struct {
	declarer
	parent    object.Ref // the Gateway that its listeners are for; none: it names something else
	listeners []*listener
}

func parseListenerSet(o *gatewayv1.ListenerSet) *ListenerSet {
	s := &ListenerSet{declarer: newDeclarer(object.KindListenerSet, &o.ObjectMeta)}
	p := o.Spec.ParentRef
	if group, kind := deref(p.Group, Group), deref(p.Kind, "Gateway"); group == Group && kind == "Gateway" {
		s.parent = object.Ref{Kind: object.KindKubeGateway, Namespace: deref(p.Namespace, o.Namespace), Name: string(p.Name)}
	} else {
		s.find(object.CodeUnsupported, "spec.parentRef", "listeners can be added to a Gateway of group %s only; the ListenerSet has no effect: name one", Group)
	}
	entries := o.Spec.Listeners[:min(len(o.Spec.Listeners), maxSetListeners)]
	if len(o.Spec.Listeners) > maxSetListeners {
		s.find(object.CodeInvalid, "spec.listeners", "more than %d listeners; the others are left out: write another ListenerSet for them", maxSetListeners)
	}
	for i := range entries {
		l := gatewayv1.Listener(entries[i])
		s.listeners = append(s.listeners, s.listener(i, &l))
	}
	return s
}

// key is the place of the set among those of its Gateway.
func (s *ListenerSet) key() string {
	return setsOf(s.parent) + s.Ref.Namespace + "/" + s.Ref.Name
}

// setsOf begins the keys of the sets that name a Gateway.
func setsOf(gateway object.Ref) string { return gateway.Namespace + "/" + gateway.Name + "|" }

// ListenerSet finds a ListenerSet; nil when there is none.
func (x *Index) ListenerSet(ref object.Ref) *ListenerSet {
	if ref.Kind != object.KindListenerSet {
		return nil
	}
	s, _ := x.sets.Get(ref.Namespace + "/" + ref.Name)
	return s
}

// allowed are the sets that name a Gateway as it was written and that it allows, oldest
// first, as long as there is room for their listeners. Namespaces are their labels by name.
func (x *Index) allowed(g *Gateway, namespaces map[string]map[string]string) (out []*ListenerSet) {
	prefix := setsOf(g.Ref)
	if g.setsFrom == gatewayv1.NamespacesFromNone {
		return nil
	}
	if g.setsFrom == gatewayv1.NamespacesFromSame {
		prefix += g.Ref.Namespace + "/"
	}
	for _, s := range persist.Prefix(x.setsOf, prefix) {
		if g.allows(s.Ref.Namespace, namespaces) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, olderSet)
	room := maxListeners - len(g.listeners)
	for i, s := range out {
		if room -= len(s.listeners); room < 0 {
			return out[:i]
		}
	}
	return out
}

// olderSet is the order of precedence of the sets of a Gateway; what does not exist yet
// comes last.
func olderSet(a, b *ListenerSet) int {
	if a.created.IsZero() != b.created.IsZero() {
		return cmp.Compare(b.created.Unix(), a.created.Unix())
	}
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.Ref.Namespace, b.Ref.Namespace), cmp.Compare(a.Ref.Name, b.Ref.Name))
}

// readAllowed reads which ListenerSets may add listeners to the Gateway: none, unless it
// says so.
func (g *Gateway) readAllowed() {
	g.setsFrom = gatewayv1.NamespacesFromNone
	a := g.Spec.AllowedListeners
	if a == nil || a.Namespaces == nil {
		return
	}
	from := gatewayv1.FromNamespaces(deref(a.Namespaces.From, string(gatewayv1.NamespacesFromNone)))
	switch from {
	case gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromNone:
		g.setsFrom = from
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(a.Namespaces.Selector)
		if err != nil {
			g.find(object.CodeInvalid, "spec.allowedListeners.namespaces.selector", "%v; no ListenerSet is allowed: correct it", err)
			return
		}
		g.setsFrom, g.setsSelector = from, selector
	default:
		g.find(object.CodeInvalid, "spec.allowedListeners.namespaces.from", "%q is not known; no ListenerSet is allowed: use All, Same, Selector or None", from)
	}
}

// allows tells whether ListenerSets of a namespace may add listeners to the Gateway.
func (g *Gateway) allows(namespace string, namespaces map[string]map[string]string) bool {
	return within(g.setsFrom, g.setsSelector, g.Ref.Namespace, namespace, namespaces)
}

// within tells whether a namespace is one of those that an object of the namespace home
// allows.
func within(from gatewayv1.FromNamespaces, selector labels.Selector, home, namespace string, namespaces map[string]map[string]string) bool {
	switch from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == home
	case gatewayv1.NamespacesFromSelector:
		set := labels.Set{"kubernetes.io/metadata.name": namespace} // as the API server sets it
		for k, v := range namespaces[namespace] {
			set[k] = v
		}
		return selector.Matches(set)
	}
	return false
}

// attached is the set as it is in force on its Gateway; nil when it is not.
func (g *Gateway) attached(set object.Ref) *ListenerSet {
	for _, s := range g.sets {
		if s.Ref == set {
			return s
		}
	}
	return nil
}

// detached is why a set adds nothing to its Gateway, which is served.
func (w *View) detached(s *ListenerSet, g *Gateway) string {
	if g.allows(s.Ref.Namespace, w.Namespaces) {
		return fmt.Sprintf("with the listeners of older ListenerSets Gateway %s/%s would have more than %d; nothing is served of this one: use another Gateway", s.parent.Namespace, s.parent.Name, maxListeners)
	}
	return fmt.Sprintf("Gateway %s/%s allows no ListenerSets of namespace %s; nothing is served of this one: set spec.allowedListeners there", s.parent.Namespace, s.parent.Name, s.Ref.Namespace)
}

// SetListenerSet replaces a ListenerSet; nil takes it away.
func (b *Builder) SetListenerSet(ref object.Ref, o *gatewayv1.ListenerSet) {
	key := ref.Namespace + "/" + ref.Name
	if old := b.next.ListenerSet(ref); old != nil {
		b.next.setsOf = b.next.setsOf.Delete(old.key())
		b.unsettled[old.parent] = struct{}{}
	}
	if o == nil {
		b.next.sets = b.next.sets.Delete(key)
	} else {
		s := parseListenerSet(o)
		b.next.sets = b.next.sets.Set(key, s)
		b.next.setsOf = b.next.setsOf.Set(s.key(), s)
		b.unsettled[s.parent] = struct{}{}
	}
	b.Mark(ref)
}
