package mesh

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// unserved are labels that ask for parts of Istio that there are none of here, and what
// happens instead.
var unserved = []struct{ label, instead string }{
	{"istio.io/rev", "no control plane is chosen by revision; the one that is there serves all: use the label istio-injection, or sidecar.istio.io/inject on pods"},
	{"istio.io/dataplane-mode", "there is no ambient data plane, neither ztunnel nor HBONE; pods are in the mesh with a sidecar only: use the label istio-injection"},
	{"istio.io/use-waypoint", "there are no waypoints; sidecars enforce policies and routes: take the label out"},
	{"istio.io/use-waypoint-namespace", "there are no waypoints; sidecars enforce policies and routes: take the label out"},
}

// checkLabels tells of labels of a Namespace, a Service or a Pod that nobody acts upon.
func checkLabels(ref object.Ref, labels map[string]string) (findings []object.Finding) {
	for _, u := range unserved {
		if v, ok := labels[u.label]; ok && v != "none" {
			findings = append(findings, object.Finding{Object: ref, Field: "metadata.labels[" + u.label + "]", Code: object.CodeUnsupported, Message: u.instead})
		}
	}
	if v, ok := labels["istio-injection"]; ok && ref.Kind == object.KindNamespace && v != "enabled" && v != "disabled" {
		findings = append(findings, object.Finding{Object: ref, Field: "metadata.labels[istio-injection]", Code: object.CodeUnsupported,
			Message: fmt.Sprintf("%q is neither enabled nor disabled; the label says nothing, and no proxies are added by it: write enabled or disabled", v)})
	}
	return findings
}

// checkMeta tells of the labels of an object of Kubernetes.
func checkMeta[T any, P interface {
	*T
	metav1.Object
}](ref object.Ref, o *T) []object.Finding {
	return checkLabels(ref, P(o).GetLabels())
}

// checkConfigMap is what is wrong with a mesh configuration.
func checkConfigMap(ref object.Ref, o *corev1.ConfigMap) []object.Finding {
	if ref.Name != meshConfigMap || ref.Namespace != DefaultConfig().RootNamespace {
		return nil
	}
	_, findings, err := parseConfig(ref, []byte(o.Data[meshConfigKey]))
	if err != nil {
		return []object.Finding{unreadableConfig(ref, err)}
	}
	return findings
}

// unreadableConfig tells that a mesh configuration cannot be read.
func unreadableConfig(ref object.Ref, err error) object.Finding {
	field := "data." + meshConfigKey
	if m := (*misread)(nil); errors.As(err, &m) && m.field != "" {
		field += "." + m.field
	}
	return object.Finding{Object: ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf("%v; nothing of this configuration is in force: correct the text", err)}
}
