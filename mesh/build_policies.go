package mesh

import (
	"slices"

	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func policy[T any](ref object.Ref, m metav1.ObjectMeta, selector map[string]string, spec T) *Policy[T] {
	return &Policy[T]{Ref: ref, Namespace: m.Namespace, Created: m.CreationTimestamp.Time, Labels: m.Labels, Annotations: m.Annotations, Selector: selector, Spec: spec}
}

// dirtyInbound marks what the workloads of a namespace accept, or those of the
// whole mesh for the root namespace.
func (b *builder) dirtyInbound(namespace string) {
	if namespace == b.world.Config.RootNamespace {
		namespace = ""
	}
	b.dirty.Inbound[namespace] = struct{}{}
}

func (b *builder) peerAuthentication(ref object.Ref, o *securityv1.PeerAuthentication) {
	var p *PeerAuthentication
	var findings []object.Finding
	if o != nil {
		findings = checkPeerAuthentication(ref, o)
		p = policy[*security.PeerAuthentication](ref, o.ObjectMeta, o.Spec.GetSelector().GetMatchLabels(), &o.Spec)
	}
	b.world.PeerAuthentications = b.world.PeerAuthentications.with(ref, p)
	b.found(ref, findings)
	b.overlaps.stale[ref.Namespace] = struct{}{}
	b.dirtyInbound(ref.Namespace)
	b.modesIn.Add(ref.Namespace)
}

// settleModes marks the hosts of namespaces with other PeerAuthentications than before:
// clients speak mutual TLS to an endpoint unless its policy disables it.
func (b *builder) settleModes() {
	if len(b.modesIn) == 0 {
		return
	}
	_, all := b.modesIn[b.world.Config.RootNamespace]
	for name, h := range b.world.Hosts() {
		for _, s := range h.Services {
			if _, some := b.modesIn[s.Namespace]; some || all {
				b.dirty.host(name, TouchHost)
			}
		}
	}
	clear(b.modesIn)
}

func (b *builder) requestAuthentication(ref object.Ref, o *securityv1.RequestAuthentication) {
	var p *RequestAuthentication
	var targets []target
	var findings []object.Finding
	if o != nil {
		p = policy[*security.RequestAuthentication](ref, o.ObjectMeta, o.Spec.GetSelector().GetMatchLabels(), &o.Spec)
		closed := &o.Spec
		findings = attach(p, o.Spec.TargetRef, o.Spec.TargetRefs, &closed)
		targets = p.targets
	}
	b.setTargets(ref, targets, findings)
	b.world.RequestAuthentications = b.world.RequestAuthentications.with(ref, p)
	b.dirtyInbound(ref.Namespace)
	b.dirty.Gateways = true
}

func (b *builder) authorizationPolicy(ref object.Ref, o *securityv1.AuthorizationPolicy) {
	var p *AuthorizationPolicy
	var targets []target
	var findings []object.Finding
	if o != nil {
		p = policy[*security.AuthorizationPolicy](ref, o.ObjectMeta, o.Spec.GetSelector().GetMatchLabels(), &o.Spec)
		closed := closedAuthorization(&o.Spec)
		findings = attach(p, o.Spec.TargetRef, o.Spec.TargetRefs, &closed)
		targets = p.targets
	}
	b.setTargets(ref, targets, findings)
	b.world.AuthorizationPolicies = b.world.AuthorizationPolicies.with(ref, p)
	b.dirtyInbound(ref.Namespace)
	b.dirty.Gateways = true
}

func (b *builder) telemetry(ref object.Ref, o *telemetryv1.Telemetry) {
	var p *Telemetry
	var targets []target
	var findings []object.Finding
	if o != nil {
		p = policy[*telemetry.Telemetry](ref, o.ObjectMeta, o.Spec.GetSelector().GetMatchLabels(), &o.Spec)
		findings = attach(p, o.Spec.TargetRef, o.Spec.TargetRefs, nil)
		targets = p.targets
	}
	b.setTargets(ref, targets, findings)
	b.world.Telemetries = b.world.Telemetries.with(ref, p)
	b.overlaps.stale[ref.Namespace] = struct{}{}
	var asks []traffic.Ask
	if p != nil && len(p.Selector) > 0 { // what it says of outbound traffic is for those that it selects
		asks = append(asks, traffic.Ask{Selector: p.Selector})
	}
	b.setAsks(ref, asks)
	b.dirtyInbound(ref.Namespace)
	b.dirty.Gateways = true
	b.dirty.Namespaces[ref.Namespace] = struct{}{}
	if ref.Namespace == b.world.Config.RootNamespace {
		b.dirty.All = true
	}
}

// meshConfigMap is the name of the ConfigMap with the mesh configuration in
// the root namespace, and meshConfigKey its key.
const (
	meshConfigMap = "istio"
	meshConfigKey = "mesh"
)

func (b *builder) configMap(ref object.Ref, o *corev1.ConfigMap) {
	if ref.Name != meshConfigMap || ref.Namespace != DefaultConfig().RootNamespace {
		b.api.SetBundle(ref, o)
		return
	}
	if o == nil {
		b.config(ref, nil)
		return
	}
	b.config(ref, []byte(o.Data[meshConfigKey]))
}

// config replaces the mesh configuration that came from one place; nil text
// takes it away. What cannot be read keeps the last good one.
func (b *builder) config(ref object.Ref, text []byte) {
	if text == nil {
		delete(b.configs, ref.Kind)
		b.found(ref, nil)
	} else {
		c, findings, err := parseConfig(ref, text)
		if err != nil {
			b.found(ref, []object.Finding{unreadableConfig(ref, err)})
			return
		}
		b.found(ref, findings)
		b.configs[ref.Kind] = c
	}
	next := b.configs[object.KindMeshConfigFile]
	if next == nil {
		next = b.configs[object.KindConfigMap]
	}
	if next == nil {
		next = DefaultConfig()
	}
	if next.equal(b.world.Config) {
		return
	}
	if next.Settings != b.world.Config.Settings {
		for host := range b.uses { // which findings are due may change
			b.touchUser(host, "")
		}
	}
	before := b.world.Config
	b.world.Config = next
	if !slices.Equal(before.DefaultVirtualServiceExportTo, next.DefaultVirtualServiceExportTo) || before.RootNamespace != next.RootNamespace {
		for ref, o := range b.vsRaw { // what is exported to whom: delegates, and findings
			b.setVirtualService(ref, o)
		}
	}
	b.ingresses.stale = true
	b.api.CountAllClusters() // rules may be those of other Services now
	b.coverAgain()
	b.exportAgain()
	b.endpointsAgain()
	if before.RootNamespace != next.RootNamespace {
		b.ruleAgain()
	}
	b.setAsks(object.Ref{Kind: object.KindConfigMap, Name: meshConfigMap}, asksOfConfig(next))
	b.dirty.All = true
	b.dirty.Scopes = true
	b.rediscoverAll(next)
}

func asksOfConfig(c *Config) []traffic.Ask {
	var out []traffic.Ask
	if c.AsksLocality() {
		out = append(out, traffic.Ask{Locality: true})
	}
	for _, entry := range c.GetLocalityLbSetting().GetFailoverPriority() {
		out = append(out, traffic.AskOfPriority(entry))
	}
	return out
}
