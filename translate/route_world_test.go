package translate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// routeWorld makes the world of YAML documents, seen by a sidecar of the
// namespace with the labels.
func routeWorld(t testing.TB, text, namespace, labels string) *mesh.View {
	t.Helper()
	var changes []mesh.Change
	for doc := range strings.SplitSeq(text, "\n---\n") {
		changes = append(changes, routeChange(t, doc))
	}
	return worldOf(t, changes).View(mesh.Scope{Namespace: namespace, Labels: labels})
}

func worldOf(t testing.TB, changes []mesh.Change) *mesh.World {
	t.Helper()
	made := make(chan *mesh.World, 1)
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(w *mesh.World, _ *mesh.Dirty) { made <- w })
	store.Submit(changes)
	store.Synced()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	select {
	case w := <-made:
		return w
	case <-time.After(30 * time.Second):
		t.Fatal("no world was made")
	}
	return nil
}

func routeChange(t testing.TB, doc string) mesh.Change {
	t.Helper()
	var head struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	ref := object.Ref{Kind: object.Kind(head.Kind), Namespace: head.Namespace, Name: head.Name}
	if ref.Namespace == "" {
		ref.Namespace = "default"
	}
	var obj metav1.Object
	switch head.Kind {
	case "Service":
		obj = &corev1.Service{}
	case "VirtualService":
		obj = &networkingv1.VirtualService{}
	case "DestinationRule":
		obj = &networkingv1.DestinationRule{}
	case "ServiceEntry":
		obj = &networkingv1.ServiceEntry{}
	case "Sidecar":
		obj = &networkingv1.Sidecar{}
	case "MeshConfig":
		return mesh.Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(doc[strings.Index(doc, "spec:\n")+6:])}
	default:
		t.Fatalf("unknown kind in\n%s", doc)
	}
	if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	obj.SetNamespace(ref.Namespace)
	return mesh.Change{Ref: ref, Object: obj}
}

// ruledHosts are the virtual hosts of the view that a VirtualService shapes,
// with everything that was found wrong, and the filter chains of its TCP ports.
func ruledHosts(t testing.TB, v *mesh.View) (hosts []*routev3.VirtualHost, chains []string, findings []string) {
	t.Helper()
	for f := range v.Findings() {
		findings = append(findings, string(f.Code)+" "+f.String())
	}
	var names []string
	for h := range v.Hosts() {
		names = append(names, h)
	}
	for h := range v.RouteHosts() {
		names = append(names, h)
	}
	slices.Sort(names)
	for _, h := range slices.Compact(names) {
		plan := ResolveHost(v, h)
		for _, f := range plan.Findings {
			findings = append(findings, string(f.Code)+" "+f.String())
		}
		for _, in := range plan.VirtualHosts {
			if in.Route.VirtualService == nil {
				continue
			}
			vh, found := VirtualHost(in)
			if err := vh.ValidateAll(); err != nil {
				t.Errorf("virtual host %s: %v", vh.Name, err)
			}
			hosts = append(hosts, vh)
			for _, f := range found {
				findings = append(findings, string(f.Code)+" "+f.String())
			}
		}
		for _, c := range plan.Claims {
			for _, chain := range c.Chains {
				line := fmt.Sprintf("%s sni=%v prefixes=%v -> %v", c.Key.Name(), chain.SNI, chain.Prefixes, chain.Clusters)
				if chain.Tunnel != (Tunnel{}) {
					line += fmt.Sprintf(" tunnel %+v", chain.Tunnel)
				}
				chains = append(chains, line)
			}
		}
	}
	slices.SortFunc(hosts, func(a, b *routev3.VirtualHost) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(findings)
	return hosts, chains, slices.Compact(findings)
}
