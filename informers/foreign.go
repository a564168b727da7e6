package informers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/internal/spelling"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// otherKinds are the kinds of known groups that the mesh does not read, beside those of
// the table. A kind of these groups that is in neither is one that does not exist.
func otherKinds() map[string][]string {
	return map[string][]string{
		"": strings.Fields(`Binding ComponentStatus Endpoints Event LimitRange PersistentVolume PersistentVolumeClaim PodTemplate
			ReplicationController ResourceQuota ServiceAccount`),
		"apps":                strings.Fields("ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
		"batch":               strings.Fields("CronJob Job"),
		groupIngress:          strings.Fields("IPAddress NetworkPolicy ServiceCIDR"),
		groupDiscovery:        nil,
		groupNetworking:       strings.Fields("EnvoyFilter WorkloadGroup"),
		groupSecurity:         nil,
		groupTelemetry:        nil,
		"extensions.istio.io": strings.Fields("TrafficExtension WasmPlugin"),
		groupGateway:          strings.Fields(`BackendLBPolicy ListenerSet UDPRoute`),
	}
}

// pastGroups are groups of Istio of which no control plane reads anything any more, or
// only its installer.
var pastGroups = []string{"authentication.istio.io", "config.istio.io", "install.istio.io", "operator.istio.io", "rbac.istio.io"}

// foreign notes an object of a kind that is not in the table.
func (p *parser) foreign(d *document, group string, h header) {
	obj := object.Ref{Kind: object.Kind(h.Kind), Namespace: cmp.Or(h.Metadata.Namespace, "default"), Name: h.Metadata.Name}
	others, known := p.others[group]
	meshs := strings.HasSuffix(group, ".istio.io") || group == groupGateway
	switch {
	case known && slices.Contains(others, h.Kind), slices.Contains(pastGroups, group):
		if meshs {
			d.findings = append(d.findings, object.Finding{Object: obj, Field: "kind", Code: object.CodeUnsupported, Message: "objects of this kind are not acted upon"})
		}
	case known || meshs:
		d.findings = append(d.findings, object.Finding{Object: obj, Field: "kind", Code: object.CodeUnknownKind,
			Message: fmt.Sprintf("there is no kind %s; the object is not read%s", schema.GroupKind{Group: group, Kind: h.Kind}, p.meant(group, h.Kind))})
	case p.likeGroup(group) != "":
		d.findings = append(d.findings, object.Finding{Object: obj, Field: "apiVersion", Code: object.CodeUnknownKind,
			Message: fmt.Sprintf("nothing is known of the group %s; the object is not read: did you mean %s?", group, p.likeGroup(group))})
	case !kubernetesGroup(group):
		d.unknown = append(d.unknown, schema.GroupKind{Group: group, Kind: h.Kind})
	}
}

// meant is what somebody may have meant by a kind that does not exist, as the end of a
// sentence.
func (p *parser) meant(group, name string) string {
	for gk, k := range p.kinds { // the right kind in a wrong group
		if gk.Kind == name && (group == "" || strings.HasSuffix(group, ".istio.io")) && name != "Gateway" {
			return fmt.Sprintf(": write apiVersion %s", schema.GroupVersion{Group: gk.Group, Version: k.versions[0]})
		}
	}
	var known []string
	for _, k := range kinds() {
		if k.group == group {
			known = append(known, k.name)
		}
	}
	best := spelling.Closest(name, append(known, p.others[group]...))
	if best == "" {
		return ": correct kind or apiVersion"
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// likeGroup is the group of the mesh that a group may have been meant to be; empty: none.
func (p *parser) likeGroup(group string) string {
	if strings.HasSuffix(group, ".x-k8s.io") { // where Kubernetes tries out what is to come
		return ""
	}
	groups := slices.Sorted(maps.Keys(p.others))
	return spelling.Closest(group, slices.DeleteFunc(groups, func(g string) bool { return !strings.Contains(g, ".") }))
}

// kubernetesGroup tells whether a group is Kubernetes' own: manifests of applications
// are full of them, and none concerns the mesh.
func kubernetesGroup(group string) bool {
	switch group {
	case "autoscaling", "policy", "extensions":
		return true
	}
	return strings.HasSuffix(group, ".k8s.io")
}
