package gatewayapi

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// declarer is an object that declares listeners: a Gateway, or a ListenerSet that adds
// some to one. Routes name it as their parent, the Secrets of its listeners are of its
// namespace, and what is wrong with its listeners is found about it.
type declarer struct {
	Ref        object.Ref
	generation int64
	created    time.Time
	Findings   []object.Finding
}

func newDeclarer(kind object.Kind, m *metav1.ObjectMeta) declarer {
	return declarer{Ref: object.Ref{Kind: kind, Namespace: m.Namespace, Name: m.Name}, generation: m.Generation, created: m.CreationTimestamp.Time}
}

func (d *declarer) find(code object.Code, field, format string, args ...any) {
	d.Findings = append(d.Findings, object.Finding{Object: d.Ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// called names the object for people.
func (d *declarer) called() string {
	_, kind := groupKind(d.Ref.Kind)
	return fmt.Sprintf("%s %s/%s", kind, d.Ref.Namespace, d.Ref.Name)
}

// declaredBy tells whether an object is of a kind that declares listeners.
func declaredBy(ref object.Ref) bool {
	return ref.Kind == object.KindKubeGateway || ref.Kind == object.KindListenerSet
}
