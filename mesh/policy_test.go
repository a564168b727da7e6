package mesh

import (
	"fmt"
	"testing"
	"time"

	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// authenticationAt is a PeerAuthentication of a namespace, as old as its number says, 0 the oldest.
func authenticationAt(namespace string, i int) *PeerAuthentication {
	ref := object.Ref{Kind: object.KindPeerAuthentication, Namespace: namespace, Name: fmt.Sprint("p", i)}
	return &PeerAuthentication{Ref: ref, Namespace: namespace, Created: time.Unix(int64(i), 0), Spec: &security.PeerAuthentication{}}
}

// TestPoliciesForget: a change of a policy costs and holds the same, however many namespaces
// were asked for or had policies once.
func TestPoliciesForget(t *testing.T) {
	const gone = 5_000
	policies := (*Policies[*security.PeerAuthentication])(nil).with(object.Ref{}, nil)
	before := heapInUse()
	for i := range gone {
		ns := fmt.Sprint("gone-", i)
		policies.In(ns)
		if i%10 == 0 { // some had policies
			p := authenticationAt(ns, 0)
			policies = policies.with(p.Ref, p)
			policies.In(ns)
			policies = policies.with(p.Ref, nil)
			policies.In(ns)
		}
	}
	if more := int(heapInUse()) - int(before); more > 100<<10 { //nolint:gosec // some kilobytes
		t.Errorf("%d kB are held of namespaces that have no policies", more>>10)
	}
	if n := policies.spaces.Len(); n > 0 {
		t.Errorf("%d namespaces are kept that have no policies any more", n)
	}
	changed := testing.Benchmark(func(bench *testing.B) {
		for i := 0; bench.Loop(); i++ {
			p := authenticationAt("here", i%2)
			policies = policies.with(p.Ref, p)
		}
	})
	if allocated := changed.AllocedBytesPerOp(); allocated > 8<<10 {
		t.Errorf("a change of a policy allocates %d bytes after namespaces that are gone", allocated)
	}
}

// TestPoliciesShareLists: the list of a namespace is made once, whatever changes elsewhere,
// and an older version keeps its own.
func TestPoliciesShareLists(t *testing.T) {
	var policies *Policies[*security.PeerAuthentication]
	for _, i := range []int{2, 0, 1} {
		p := authenticationAt("a", i)
		policies = policies.with(p.Ref, p)
	}
	names := func(p *Policies[*security.PeerAuthentication]) (out string) {
		for _, x := range p.In("a") {
			out += x.Ref.Name + " "
		}
		return out
	}
	if got := names(policies); got != "p0 p1 p2 " {
		t.Errorf("in order of age: %s", got)
	}
	elsewhere := policies.with(authenticationAt("b", 0).Ref, authenticationAt("b", 0))
	if &elsewhere.In("a")[0] != &policies.In("a")[0] {
		t.Error("a policy of another namespace has the list made again")
	}
	without := elsewhere.with(authenticationAt("a", 1).Ref, nil)
	if got := names(without) + "| " + names(elsewhere); got != "p0 p2 | p0 p1 p2 " {
		t.Errorf("after one goes, and before: %s", got)
	}
	n := 0
	for range without.All() {
		n++
	}
	if n != 3 {
		t.Errorf("there are %d policies in all", n)
	}
}
