package random_test

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// concern is what a change may show on, found by names alone and by nothing
// that the code under test knows: generous where a name could mean more than
// one thing, so that what lies outside must be untouched.
type concern struct {
	all       bool   // anything
	namespace string // all that the proxies of this namespace see; empty: none
	sidecars  bool   // false: nothing of any sidecar
	routers   bool   // anything of routers
	untouched map[string]bool
	known     map[string]bool
	addresses map[string][]string // hosts by the addresses that they declare
}

// declared is what one host is called and where it stands.
type declared struct {
	host  string
	names []string
	space []string
}

// concernOf is what replacing one object by another may show on, in a mesh of
// these objects.
func concernOf(objects map[object.Ref]any, ref object.Ref, old, next any) *concern {
	c := &concern{sidecars: true, untouched: map[string]bool{}, known: map[string]bool{}, addresses: map[string][]string{}}
	switch ref.Kind {
	case object.KindMeshConfigFile, object.KindConfigMap, object.KindNode, object.KindNamespace:
		c.all = true
		return c
	case object.KindSidecar, object.KindPeerAuthentication, object.KindRequestAuthentication, object.KindAuthorizationPolicy, object.KindTelemetry, object.KindProxyConfig:
		c.namespace, c.routers = ref.Namespace, ref.Kind == object.KindPeerAuthentication
		c.all = ref.Namespace == "istio-system" || configured(objects)
	case object.KindGateway, object.KindSecret:
		c.sidecars, c.routers = false, true
	case object.KindPod, object.KindWorkloadEntry, object.KindEndpointSlice:
		c.namespace, c.routers = ref.Namespace, true
	case object.KindService, object.KindServiceEntry:
		c.namespace = ref.Namespace // their own pods listen for them
	}
	ofGatewayAPI := slices.Contains(random.GatewayKinds, ref.Kind)
	c.routers = c.routers || ofGatewayAPI
	hosts, words := declarations(objects, ref, old, next)
	touched := map[string]bool{}
	for more := true; more; {
		more = false
		for _, h := range hosts {
			if ofGatewayAPI && slices.ContainsFunc(h.space, func(ns string) bool { return ns != "calm" }) {
				touched[h.host] = true // they name hosts by what only the kind knows
			}
			if touched[h.host] || !slices.ContainsFunc(words, h.meets) && !(namespaced(ref.Kind) && slices.Contains(h.space, ref.Namespace)) {
				continue
			}
			touched[h.host], more = true, true
			words = append(words, h.names...)
		}
		for r, o := range objects { // routes carry it on to the hosts that they are for
			vs, ok := o.(*networkingv1.VirtualService)
			if !ok {
				continue
			}
			mentioned := hostWords(vs.Namespace, vs.Spec.ProtoReflect())
			if ref.Kind == object.KindVirtualService && delegates(vs, ref) || slices.ContainsFunc(mentioned, func(w string) bool { return covers(w, words) }) {
				if before := len(words); len(words) < 10000 {
					words = appendNew(words, mentioned)
					more = more || len(words) > before
				}
			}
			_ = r
		}
	}
	for _, h := range hosts {
		c.known[h.host] = true
		c.untouched[h.host] = !touched[h.host]
		for _, n := range h.names {
			c.addresses[n] = append(c.addresses[n], h.host)
		}
	}
	return c
}

// configured tells whether the mesh's root namespace could be another one.
func configured(objects map[object.Ref]any) bool {
	for r := range objects {
		if r.Kind == object.KindMeshConfigFile || r.Kind == object.KindConfigMap {
			return true
		}
	}
	return false
}

// namespaced tells whether objects of the kind concern all hosts of their namespace.
func namespaced(k object.Kind) bool {
	return k == object.KindPod || k == object.KindWorkloadEntry || k == object.KindEndpointSlice || k == object.KindPeerAuthentication
}

// declarations are all hosts of the mesh, before and after, and the words of
// the object that changes.
func declarations(objects map[object.Ref]any, ref object.Ref, old, next any) (hosts []*declared, words []string) {
	by := map[string]*declared{}
	see := func(o any, changing bool) {
		names, addresses, ns := declares(o)
		if changing {
			words = append(append(words, names...), addresses...)
			for _, n := range names {
				words = append(words, calledFrom(n)...)
			}
			if m := random.Spec(o); m != nil {
				words = append(words, hostWords(ns, m)...)
			}
		}
		for _, n := range names {
			if by[n] == nil {
				by[n] = &declared{host: n, names: append([]string{n}, calledFrom(n)...)}
			}
			by[n].names = append(by[n].names, addresses...)
			by[n].space = append(by[n].space, ns)
		}
	}
	for r, o := range objects {
		if r != ref {
			see(o, false)
		}
	}
	for _, o := range []any{old, next} {
		if o != nil {
			see(o, true)
		}
	}
	for _, h := range by {
		hosts = append(hosts, h)
	}
	return hosts, words
}

// declares are the hosts that an object makes, and their addresses.
func declares(o any) (hosts, addresses []string, ns string) {
	switch o := o.(type) {
	case *corev1.Service:
		hosts = []string{o.Name + "." + o.Namespace + ".svc.cluster.local"}
		addresses = append([]string{o.Spec.ClusterIP, strings.ToLower(o.Spec.ExternalName)}, o.Spec.ClusterIPs...)
		return hosts, addresses, o.Namespace
	case *corev1.Pod:
		addresses = append(addresses, o.Status.PodIP)
		for _, ip := range o.Status.PodIPs {
			addresses = append(addresses, ip.IP)
		}
		return nil, addresses, o.Namespace
	case *discoveryv1.EndpointSlice:
		for _, e := range o.Endpoints {
			addresses = append(addresses, e.Addresses...)
		}
		return nil, addresses, o.Namespace
	case *networkingv1.ServiceEntry:
		for _, h := range o.Spec.Hosts {
			hosts = append(hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
		}
		addresses = append(addresses, o.Spec.Addresses...)
		for _, e := range o.Spec.Endpoints {
			addresses = append(addresses, e.Address)
		}
		return hosts, addresses, o.Namespace
	case *networkingv1.WorkloadEntry:
		return nil, []string{o.Spec.Address}, o.Namespace
	case *networkingv1.VirtualService:
		for _, h := range o.Spec.Hosts {
			hosts = append(hosts, object.ResolveHost(h, o.Namespace, "cluster.local"))
		}
		return hosts, nil, o.Namespace
	}
	return nil, nil, ""
}

// calledFrom are the shorter names of a Service.
func calledFrom(host string) []string {
	name, rest, ok := strings.Cut(host, ".")
	ns, service := strings.CutSuffix(rest, ".svc.cluster.local")
	if !ok || !service {
		return nil
	}
	return []string{name, name + "." + ns, name + "." + ns + ".svc"}
}

// hostWords are what the fields that name hosts hold, as the namespace means them.
func hostWords(ns string, m protoreflect.Message) (words []string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		add := func(w string) {
			if i := strings.LastIndexByte(w, '/'); i >= 0 && net(f) {
				w = w[:i]
			}
			words = append(words, strings.ToLower(w), object.ResolveHost(w, ns, "cluster.local"))
		}
		switch {
		case f.Message() != nil && f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, e protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					words = append(words, hostWords(ns, e.Message())...)
				}
				return true
			})
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				words = append(words, hostWords(ns, v.List().Get(i).Message())...)
			}
		case f.Message() != nil:
			words = append(words, hostWords(ns, v.Message())...)
		case f.Kind() != protoreflect.StringKind || !slices.Contains([]string{"host", "hosts", "sni_hosts", "addresses", "address", "destination_subnets"}, string(f.Name())):
		case f.IsList():
			for i := range v.List().Len() {
				add(v.List().Get(i).String())
			}
		case !f.IsMap():
			add(v.String())
		}
		return true
	})
	return words
}

// net tells whether the field holds networks, whose length of prefix does not matter here.
func net(f protoreflect.FieldDescriptor) bool {
	return f.Name() == "addresses" || f.Name() == "destination_subnets"
}

// meets tells whether a word could mean the host.
func (d *declared) meets(word string) bool { return covers(word, d.names) }

// covers tells whether a word and any of the names could mean the same.
func covers(word string, names []string) bool {
	if word == "" {
		return false
	}
	return slices.ContainsFunc(names, func(n string) bool {
		return n != "" && n != "None" && (object.HostMatches(word, n) || object.HostMatches(n, word))
	})
}

func appendNew(words, more []string) []string {
	for _, m := range more {
		if !slices.Contains(words, m) {
			words = append(words, m)
		}
	}
	return words
}

// delegates tells whether the VirtualService hands a rule on to the named one.
func delegates(vs *networkingv1.VirtualService, to object.Ref) bool {
	for _, h := range vs.Spec.Http {
		if h.GetDelegate().GetName() == to.Name {
			return true
		}
	}
	return false
}

func hostOfVirtualHost(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// excuses tells whether a resource of the proxy may differ.
func (c *concern) excuses(client snapshot.Client, k snapshot.Key) bool {
	if c.all || c.namespace != "" && c.namespace == client.Namespace {
		return true
	}
	if client.Role == snapshot.RoleRouter && c.routers {
		return true
	}
	if client.Role == snapshot.RoleSidecar && !c.sidecars {
		return false
	}
	var host string
	switch k.Type {
	case snapshot.Cluster, snapshot.Endpoint:
		h, _, _, ok := resource.SplitCluster(k.Name)
		if !ok {
			return true
		}
		host = h
	case snapshot.VirtualHost:
		host = hostOfVirtualHost(k.Name)
	case snapshot.Listener: // of one host's address
		address, _, ok := strings.Cut(k.Name, "_")
		hosts := c.addresses[address]
		return !ok || len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return !c.untouched[h] })
	default:
		return true
	}
	return !c.known[host] || !c.untouched[host]
}
