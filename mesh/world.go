package mesh

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	networking "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// World is everything that the control plane knows of the mesh at one moment.
// It is immutable: readers keep it as long as they like and never lock. A
// change makes a new World that shares all that did not change.
type World struct {
	Generation uint64 // counts the passes of the Store
	Config     *Config

	hosts           persist.Map[string, *registry.Host]
	rules           persist.Map[string, []*traffic.DestinationRule] // by host; of all namespaces, each merged
	bareRules       persist.Map[string, []*traffic.DestinationRule] // the same in bare form, where that is another
	routes          persist.Map[string, []*traffic.VirtualService]  // by each of their hosts, oldest first
	referrers       persist.Map[string, []*traffic.VirtualService]  // by each host that their routes name
	byGateway       persist.Map[string, []*traffic.VirtualService]  // by gateway, oldest first
	virtualServices persist.Map[string, *traffic.VirtualService]    // by "namespace/name"
	gateways        persist.Map[string, *traffic.Gateway]           // by "namespace/name"
	workloads       persist.Map[string, *registry.Workload]         // Pods and WorkloadEntries by "namespace/name"
	addresses       persist.Map[string, *registry.Workload]         // by IP
	selecting       persist.Map[string, *registry.Service]          // services with a selector, see selectingKey
	listed          persist.Map[string, []string]                   // hosts by each address that services without a selector list, see listing
	aliases         persist.Map[string, []string]                   // ExternalName hosts by the host that they stand for
	vips            persist.Map[string, []string]                   // hosts by each single address that they declare
	held            persist.Map[string, object.Ref]                 // who has an address to itself, see AddressHolder; by heldKey
	secrets         persist.Map[string, *registry.Secret]           // by "namespace/name"; nil: it was looked for and does not exist
	findings        persist.Map[string, []object.Finding]           // of building, by the object and the step
	kept            persist.Map[string, []*keptDestination]         // what is gone and still named, by the host that routes name
	issuers         persist.Map[string, *IssuerKeys]                // by issuer, those who have been asked
	keptAt          persist.Map[string, []*keptDestination]         // and by the host whose clusters serve it

	api gatewayapi.Index // the objects of the Gateway API

	secretsByName bool // only Secrets that are asked for are read

	sidecars   map[string][]*traffic.Sidecar    // by namespace, oldest first
	subsetless map[string]object.Set            // by namespace, those for whose hosts its rules are bare, see covered
	unruled    map[ruledKey]map[string]struct{} // for the services of which namespaces rules are left out, see ruled
	spaces     map[string]map[string]string     // labels by namespace
	asked      *asked

	nodeAddresses map[netip.Addr]struct{}

	PeerAuthentications    *Policies[*security.PeerAuthentication]
	RequestAuthentications *Policies[*security.RequestAuthentication]
	AuthorizationPolicies  *Policies[*security.AuthorizationPolicy]
	Telemetries            *Policies[*telemetry.Telemetry]
	ProxyConfigs           *Policies[*networking.ProxyConfig]
}

// Host finds a host by its exact name; nil when nothing declares it.
func (w *World) Host(name string) *registry.Host {
	h, _ := w.hosts.Get(name)
	return h
}

// Hosts are all hosts in the order of their names.
func (w *World) Hosts() iter.Seq2[string, *registry.Host] { return w.hosts.All() }

// HostCount is how many hosts the mesh has.
func (w *World) HostCount() int { return w.hosts.Len() }

// RouteHosts are all hosts and patterns that VirtualServices name, in order.
func (w *World) RouteHosts() iter.Seq2[string, []*traffic.VirtualService] { return w.routes.All() }

// VirtualServices are all VirtualServices in the order of "namespace/name".
func (w *World) VirtualServices() iter.Seq2[string, *traffic.VirtualService] {
	return w.virtualServices.All()
}

// VirtualServicesOf are the VirtualServices bound to a gateway
// ("namespace/name"), oldest first.
func (w *World) VirtualServicesOf(gateway string) []*traffic.VirtualService {
	l, _ := w.byGateway.Get(gateway)
	return l
}

// Referrers are the VirtualServices with a route to the host.
func (w *World) Referrers(host string) []*traffic.VirtualService {
	l, _ := w.referrers.Get(host)
	return l
}

// Gateways are all Gateways in the order of "namespace/name".
func (w *World) Gateways() iter.Seq2[string, *traffic.Gateway] { return w.gateways.All() }

// Gateway finds a Gateway by "namespace/name"; nil when there is none.
func (w *World) Gateway(name string) *traffic.Gateway {
	g, _ := w.gateways.Get(name)
	return g
}

// DestinationRules are all rules by their host, those of a namespace merged.
func (w *World) DestinationRules() iter.Seq2[string, []*traffic.DestinationRule] {
	return w.rules.All()
}

// Workload finds a Pod by namespace and name; nil when there is none.
func (w *World) Workload(namespace, name string) *registry.Workload {
	x, _ := w.workloads.Get(namespace + "/" + name)
	return x
}

// Workloads are all Pods and WorkloadEntries.
func (w *World) Workloads() iter.Seq2[string, *registry.Workload] { return w.workloads.All() }

// WorkloadAt finds the Pod or WorkloadEntry with an address; nil when there is none.
func (w *World) WorkloadAt(a netip.Addr) *registry.Workload {
	x, _ := w.addresses.Get(a.Unmap().String())
	return x
}

// AliasesOf are the hosts that stand for the host, directly or through others,
// in order.
func (w *World) AliasesOf(host string) []string {
	direct, _ := w.aliases.Get(host)
	if len(direct) == 0 {
		return nil
	}
	seen := map[string]bool{host: true}
	var out []string
	for queue := direct; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] { // a loop
			continue
		}
		seen[queue[0]] = true
		out = append(out, queue[0])
		more, _ := w.aliases.Get(queue[0])
		queue = append(queue[:len(queue):len(queue)], more...)
	}
	slices.Sort(out)
	return out
}

// Secret finds a Secret; nil when it does not exist or is not watched.
func (w *World) Secret(namespace, name string) *registry.Secret {
	s, _ := w.secrets.Get(namespace + "/" + name)
	return s
}

// SecretRead tells whether the Secret has been looked for, so that Secret is nil
// only when it does not exist. False is that nobody knows yet.
func (w *World) SecretRead(namespace, name string) bool {
	_, read := w.secrets.Get(namespace + "/" + name)
	return read || !w.secretsByName
}

// NamespaceLabels are the labels of a namespace.
func (w *World) NamespaceLabels(namespace string) map[string]string { return w.spaces[namespace] }

// selectingKey begins with the namespace and one pair of the selector, so that
// services which select a workload are found by its labels: a namespace may
// have thousands of either.
func selectingKey(s *registry.Service) string {
	label := slices.Min(slices.Collect(maps.Keys(s.Selector)))
	return s.Namespace + "/" + label + "=" + s.Selector[label] + "//" + s.Host + "/" + s.Ref.String()
}

// ServicesOf are the services whose selector selects the workload, oldest
// first.
func (w *World) ServicesOf(x *registry.Workload) []*registry.Service {
	var out []*registry.Service
	for label, value := range x.Labels {
		for _, s := range persist.Prefix(w.selecting, x.Namespace+"/"+label+"="+value+"//") {
			if object.Selects(s.Selector, x.Labels) {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b *registry.Service) int { return object.Older(a.Created, a.Ref, b.Created, b.Ref) })
	return out
}

// Findings are what parsing found wrong with the objects of this world.
func (w *World) Findings() iter.Seq[object.Finding] {
	return func(yield func(object.Finding) bool) {
		for _, l := range w.findings.All() {
			for _, f := range l {
				if !yield(f) {
					return
				}
			}
		}
	}
}
