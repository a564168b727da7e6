package mesh

import (
	"fmt"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// guests is a mesh in which namespace evil adds a ServiceEntry with all of its machines to
// each real Service of namespace honest, which has some more that are its alone.
func guests(machines, hosts int) *builder {
	b := newBuilder()
	for i := range hosts {
		b.apply([]Change{selectingService("honest", i, "h", 2)})
		c := inlineEntry("evil", i, fmt.Sprintf("s%03d.honest.svc.cluster.local", i), 2, 0)
		c.Object.(*networkingv1.ServiceEntry).Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": "m"}}
		b.apply([]Change{c})
	}
	b.apply([]Change{machine("honest", 0, "h", 1), machine("honest", 1, "other", 1), selectingService("honest", 900, "other", 1)})
	for i := range machines {
		b.apply([]Change{machine("evil", i, "m", 1)})
	}
	b.finish()
	b.turns.on = true
	return b
}

func honestWeight(w *World, host string) uint32 {
	return w.Host(host + ".honest.svc.cluster.local").Endpoints[0].Endpoints[0].Weight
}

// TestGuestsOfRealHostsPay: who has the hosts of another namespace made again, by objects
// that name them, pays for it. The owner's changes are in the next World, also those of the
// hosts that have the guests, and only what has to wait is said to.
func TestGuestsOfRealHostsPay(t *testing.T) {
	const hosts = 60
	b := guests(450, hosts)
	b.apply([]Change{machine("evil", 0, "m", 2)})
	b.finish()
	if len(b.turns.left) == 0 {
		t.Fatal("nothing is left over")
	}
	b.apply([]Change{machine("evil", 0, "m", 3), machine("honest", 1, "other", 3)})
	w, _ := b.finish()
	if got := honestWeight(w, "s900"); got != 3 {
		t.Errorf("the endpoint of the host without guests has weight %d", got)
	}
	waits := b.waiting()
	for ref, want := range map[object.Ref]bool{
		{Kind: object.KindWorkloadEntry, Namespace: "evil", Name: "m0"}:     true,
		{Kind: object.KindWorkloadEntry, Namespace: "honest", Name: "m1"}:   false,
		{Kind: object.KindServiceEntry, Namespace: "evil", Name: "z00000"}:  false, // none of them changed
		{Kind: object.KindVirtualService, Namespace: "evil", Name: "web"}:   false,
		{Kind: object.KindVirtualService, Namespace: "honest", Name: "web"}: false,
	} {
		if waits(ref) != want {
			t.Errorf("%s is said to wait: %v, want %v", ref, !want, want)
		}
	}
	b.apply([]Change{machine("honest", 0, "h", 4)})
	w, _ = b.finish()
	for i := range hosts {
		if got := honestWeight(w, fmt.Sprintf("s%03d", i)); got != 4 {
			t.Errorf("of host %d, which has guests, the owner's endpoint has weight %d", i, got)
		}
	}
}

// TestClaimsOfAddressesCostTheirOwners: objects that say to have an address of another
// namespace's endpoints do not have the hosts made again that lead there.
func TestClaimsOfAddressesCostTheirOwners(t *testing.T) {
	b := newBuilder()
	b.apply([]Change{inlineEntry("honest", 0, "api.example", 1, 1), inlineEntry("honest", 1, "10.0.0.9", 1, 0), selectingService("honest", 0, "h", 1)})
	b.finish()
	b.turns.on = true
	claim := &networkingv1.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: "claim"}, Spec: networking.WorkloadEntry{Address: "198.0.0.0"}}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "evil", Name: "claim"}, Object: claim}})
	if len(b.touched) > 0 {
		t.Errorf("a WorkloadEntry has %v made again", b.touched)
	}
	taker := inlineEntry("evil", 0, "taker.example", 1, 1)
	taker.Object.(*networkingv1.ServiceEntry).Spec.Addresses = []string{"198.0.0.0", "10.96.6.0"}
	b.apply([]Change{taker, inlineEntry("evil", 1, "s000.honest.svc.cluster.local", 1, 5)})
	b.settleRecords()
	if b.turns.spent["honest"] > 0 || b.turns.spent["evil"] == 0 {
		t.Errorf("for what evil declares, %v is paid", b.turns.spent)
	}
}
