package informers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestManyNamedObjects follows very many Secrets: these are compared more rarely and are
// stale later, and kinds that are followed as a whole are compared as often as without.
func TestManyNamedObjects(t *testing.T) {
	k, err := NewKubernetes(KubeConfig{REST: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	followed := func(name string, ref object.Ref) *reflection {
		r := &reflection{source: k, store: newStore(kindOf[(&kind{name: name}).groupKind()], k.out, func(string, []object.Finding) {})}
		r.store.named = ref
		k.views.add(r)
		return r
	}
	pods := followed("Pod", object.Ref{})
	var secrets []*reflection
	stale := func(age time.Duration) map[string]bool {
		out := map[string]bool{}
		for r := range k.views.list {
			r.store.view.confirmed = time.Now().Add(-age)
		}
		for _, v := range k.Views() {
			if v.Named != (v.Kind == "Secret") {
				t.Errorf("%+v", v)
			}
			out[v.Kind] = v.Stale
		}
		return out
	}
	for i := range maxWanted {
		secrets = append(secrets, followed("Secret", object.Ref{Kind: object.KindSecret, Namespace: "a", Name: fmt.Sprint(i)}))
	}
	if got, want := secrets[0].every(k.views.countNamed()), maxWanted*auditEach; got != want {
		t.Errorf("a Secret is compared every %s, want %s", got, want)
	}
	if got := pods.every(k.views.countNamed()); got != auditEvery {
		t.Errorf("Pods are compared every %s, want %s", got, auditEvery)
	}
	for age, want := range map[time.Duration]map[string]bool{
		StaleAfter - time.Second:            {"Pod": false, "Secret": false},
		StaleAfter + time.Second:            {"Pod": true, "Secret": false},
		3*maxWanted*auditEach + time.Second: {"Pod": true, "Secret": true},
	} {
		if got := stale(age); got["Pod"] != want["Pod"] || got["Secret"] != want["Secret"] {
			t.Errorf("after %s stale are %v, want %v", age, got, want)
		}
	}
	for _, r := range secrets[5:] {
		k.views.remove(r)
	}
	if got := secrets[0].every(k.views.countNamed()); got != auditEvery || !stale(StaleAfter + time.Second)["Secret"] {
		t.Errorf("5 Secrets are compared every %s, want %s, and are stale as Pods are", got, auditEvery)
	}
}
