package registry

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/workload"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Locality is where a workload runs; any part may be empty
// (envoy.config.core.v3.Locality).
type Locality struct{ Region, Zone, SubZone string }

// ParseLocality reads "region/zone/subzone", or with dots instead of slashes
// as labels have to write it.
func ParseLocality(s string) Locality {
	if !strings.Contains(s, "/") {
		s = strings.ReplaceAll(s, ".", "/")
	}
	p := append(strings.SplitN(s, "/", 3), "", "", "")
	return Locality{p[0], p[1], p[2]}
}

// Workload is one instance that can serve or send requests: a Pod, a
// WorkloadEntry, or a bare address of an EndpointSlice. It never changes.
type Workload struct {
	Ref       object.Ref
	Namespace string
	Name      string // of the Pod or WorkloadEntry
	UID       string // of the Pod (metadata.uid): another Pod of the same name has another one; empty for a WorkloadEntry
	Owner     string // name of the Deployment, StatefulSet, ... behind it; the Pod's own name without one

	Labels         map[string]string
	Addresses      []netip.Addr // the first one is primary
	Hostname       string       // a DNS name or unix path instead of Addresses (WorkloadEntry.address)
	ServiceAccount string
	Node           string
	HostNetwork    bool // of the Pod: its addresses are the node's, and not its own
	Locality       Locality
	Network        string
	Weight         uint32 // 0: not given
	Created        time.Time

	PodHostname string            // spec.hostname
	Subdomain   string            // spec.subdomain
	Ports       map[string]uint32 // named container or entry ports
	Listening   []uint32          // all declared container ports

	Ready       bool
	Terminating bool
	MutualTLS   bool // label security.istio.io/tlsMode=istio: accepts the mesh's mutual TLS
	Annotations map[string]string
}

// Address is the primary address: an IP, a DNS name or a unix path.
func (w *Workload) Address() string {
	if w.Hostname != "" || len(w.Addresses) == 0 {
		return w.Hostname
	}
	return w.Addresses[0].String()
}

// CanonicalName is the workload's service name for telemetry
// (label service.istio.io/canonical-name, app.kubernetes.io/name, app).
func (w *Workload) CanonicalName() string {
	for _, l := range []string{"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"} {
		if v := w.Labels[l]; v != "" {
			return v
		}
	}
	return w.Owner
}

// CanonicalRevision is the workload's version for telemetry
// (label service.istio.io/canonical-revision, app.kubernetes.io/version, version).
func (w *Workload) CanonicalRevision() string {
	for _, l := range []string{"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"} {
		if v := w.Labels[l]; v != "" {
			return v
		}
	}
	return "latest"
}

// Identity is the SPIFFE id of the workload in the trust domain.
func (w *Workload) Identity(trustDomain string) string {
	return "spiffe://" + trustDomain + "/ns/" + w.Namespace + "/sa/" + w.ServiceAccount
}

// ParsePod reads a Pod; nil when the Pod has no address yet or has ended.
// node may be nil.
func ParsePod(p *corev1.Pod, node *corev1.Node) *Workload {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil
	}
	w := &Workload{
		Ref:       object.Ref{Kind: object.KindPod, Namespace: p.Namespace, Name: p.Name},
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Owner: workload.OwnerOf(p).Name,
		Labels: p.Labels, Annotations: p.Annotations,
		ServiceAccount: p.Spec.ServiceAccountName,
		Node:           p.Spec.NodeName,
		HostNetwork:    p.Spec.HostNetwork,
		Created:        p.CreationTimestamp.Time,
		PodHostname:    p.Spec.Hostname, Subdomain: p.Spec.Subdomain,
		Terminating: p.DeletionTimestamp != nil,
		Network:     p.Labels["topology.istio.io/network"],
		MutualTLS:   p.Labels["security.istio.io/tlsMode"] == "istio",
		Ports:       map[string]uint32{},
	}
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			w.Addresses = append(w.Addresses, a.Unmap())
		}
	}
	if len(w.Addresses) == 0 {
		a, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil {
			return nil
		}
		w.Addresses = append(w.Addresses, a.Unmap())
	}
	if w.ServiceAccount == "" {
		w.ServiceAccount = "default"
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			w.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			for _, cp := range c.Ports {
				if cp.ContainerPort < 1 || cp.ContainerPort > object.MaxPort {
					continue
				}
				if cp.Name != "" {
					w.Ports[cp.Name] = uint32(cp.ContainerPort)
				}
				if cp.Protocol != corev1.ProtocolUDP && !slices.Contains(w.Listening, uint32(cp.ContainerPort)) {
					w.Listening = append(w.Listening, uint32(cp.ContainerPort))
				}
			}
		}
	}
	w.Locality = LocalityOfPod(p.Labels, node)
	return w
}

// LocalityOfPod prefers the Pod's own label to the labels of its Node. What no Node
// says, as from a directory without them, the Pod's labels may, to which newer
// Kubernetes copies those of the Node.
func LocalityOfPod(labels map[string]string, node *corev1.Node) Locality {
	for _, l := range []string{"topology.istio.io/locality", "istio-locality"} {
		if v := labels[l]; v != "" {
			return ParseLocality(v)
		}
	}
	var of map[string]string
	if node != nil {
		of = node.Labels
	}
	return Locality{
		Region:  first(of[corev1.LabelTopologyRegion], of[corev1.LabelFailureDomainBetaRegion], labels[corev1.LabelTopologyRegion]),
		Zone:    first(of[corev1.LabelTopologyZone], of[corev1.LabelFailureDomainBetaZone], labels[corev1.LabelTopologyZone]),
		SubZone: first(of["topology.istio.io/subzone"], labels["topology.istio.io/subzone"]),
	}
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// SameAs tells whether two workloads are alike in all that matters.
func (w *Workload) SameAs(o *Workload) bool {
	return w.SameIdentity(o) && w.Created.Equal(o.Created) && w.Ready == o.Ready && w.Terminating == o.Terminating && w.Weight == o.Weight
}

// SameIdentity tells whether two workloads differ at most in readiness.
func (w *Workload) SameIdentity(o *Workload) bool {
	return w.UID == o.UID && maps.Equal(w.Labels, o.Labels) && slices.Equal(w.Addresses, o.Addresses) && w.Hostname == o.Hostname && w.ServiceAccount == o.ServiceAccount && w.MutualTLS == o.MutualTLS &&
		w.Node == o.Node && w.HostNetwork == o.HostNetwork && w.Locality == o.Locality && w.Network == o.Network && w.Owner == o.Owner && w.PodHostname == o.PodHostname &&
		w.Subdomain == o.Subdomain && maps.Equal(w.Ports, o.Ports) && slices.Equal(w.Listening, o.Listening) && maps.Equal(w.Annotations, o.Annotations)
}
