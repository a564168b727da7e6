package translate

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// story is a mesh in YAML documents: Kubernetes and Istio objects, and besides
// them one of kind Client (who looks at the mesh) and one of kind Mesh (its
// configuration).
type story struct {
	changes []mesh.Change
	scope   mesh.Scope
}

// client is the document that says who looks at the mesh.
type client struct {
	Router                            bool
	Namespace, Labels, Locality, Node string
}

func readStory(t testing.TB, file string) story {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := story{scope: mesh.Scope{Namespace: "default"}}
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		s.add(t, []byte(doc))
	}
	return s
}

func (s *story) add(t testing.TB, doc []byte) {
	t.Helper()
	var head struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	decode(t, doc, &head)
	ref := object.Ref{Kind: object.Kind(head.Kind), Namespace: head.Namespace, Name: head.Name}
	var obj any
	switch head.Kind {
	case "Client":
		var c client
		decode(t, doc, &c)
		s.setClient(c)
		return
	case "Mesh":
		ref = object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}
		obj = doc[strings.Index(string(doc), "kind: Mesh\n")+len("kind: Mesh\n"):]
	case "Service":
		obj = &corev1.Service{}
	case "Pod":
		obj = &corev1.Pod{}
	case "Node":
		obj = &corev1.Node{}
	case "DestinationRule":
		obj = &networkingv1.DestinationRule{}
	case "ServiceEntry":
		obj = &networkingv1.ServiceEntry{}
	case "PeerAuthentication":
		obj = &securityv1.PeerAuthentication{}
	default:
		t.Fatalf("a story has no %q", head.Kind)
	}
	if _, raw := obj.([]byte); !raw {
		decode(t, doc, obj)
	}
	s.changes = append(s.changes, mesh.Change{Ref: ref, Object: obj})
}

func (s *story) setClient(c client) {
	if c.Router {
		s.scope.Role = mesh.RoleRouter
	}
	if c.Namespace != "" {
		s.scope.Namespace = c.Namespace
	}
	s.scope.Labels, s.scope.Node = c.Labels, c.Node
	l := strings.SplitN(c.Locality+"//", "/", 3)
	s.scope.Locality = registry.Locality{Region: l[0], Zone: l[1], SubZone: strings.TrimRight(l[2], "/")}
}

func decode(t testing.TB, doc []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(doc, into); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
}

// view makes the world of the story as its client sees it.
func (s story) view(t testing.TB) *mesh.View {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	made := make(chan *mesh.World, 1)
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(w *mesh.World, _ *mesh.Dirty) { made <- w })
	store.Submit(s.changes)
	store.Synced()
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	select {
	case w := <-made:
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return w.View(s.scope)
	case <-time.After(30 * time.Second):
		t.Fatal("no world was made")
	}
	return nil
}
