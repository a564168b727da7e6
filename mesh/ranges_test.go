package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestRangeHoldersInTurn: whoever comes, goes and changes, a range is kept from its entry by
// the lowest address in it that a Service or Pod of another namespace has, as a fresh start
// has it, and the host of the entry is marked whenever that is another.
func TestRangeHoldersInTurn(t *testing.T) {
	at := func(kind object.Kind, namespace, name, address string) Change {
		ref := object.Ref{Kind: kind, Namespace: namespace, Name: name}
		switch {
		case address == "":
			return Change{Ref: ref}
		case kind == object.KindPod:
			return Change{Ref: ref, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec: {hostNetwork: %t}\nstatus: {phase: Running, podIP: %s, conditions: [{type: Ready, status: 'True'}]}", name, namespace, name == "p2", address))}
		}
		return Change{Ref: ref, Object: readObject[corev1.Service](t, fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec: {clusterIP: '%s', ports: [{name: tcp, port: 80}]}", name, namespace, address))}
	}
	addresses := []string{"", "10.0.0.1", "10.0.0.200", "10.0.7.1", "fd00::1"}
	entries := []Change{
		listedEntry(t, "evil", "wide", "addresses: [10.0.0.0/8, 0.0.0.0/1, 'fd00::/8'], ports: [{number: 80, name: tcp, protocol: TCP}]"),
		listedEntry(t, "evil", "narrow", "addresses: [10.0.0.128/25, 203.0.113.0/24], ports: [{number: 80, name: tcp, protocol: TCP}]"),
		{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "evil", Name: "trick"}, Object: readObject[networkingv1.ServiceEntry](t, "metadata: {name: trick, namespace: evil}\nspec: {hosts: [s.evil.svc.cluster.local], resolution: STATIC, addresses: [10.0.0.1, 10.0.0.200], ports: [{number: 80, name: tcp, protocol: TCP}]}")},
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "rule"}, Object: readObject[networkingv1.VirtualService](t, "metadata: {name: rule, namespace: evil}\nspec: {hosts: [rule.example], tcp: [{match: [{destinationSubnets: [10.0.0.0/9, 10.0.7.1/32]}], route: [{destination: {host: wide.example}}]}]}")},
		listedEntry(t, "b", "other", "addresses: [10.0.0.0/8], ports: [{number: 80, name: tcp, protocol: TCP}]"),
	}
	seen := func(w *World) map[string]string {
		out := map[string]string{}
		v := w.View(Scope{Namespace: "client"})
		for _, host := range []string{"wide.example", "narrow.example", "other.example"} {
			s, _ := v.Service(host)
			for _, p := range s.Addresses {
				a, holder := v.RangeHolder(s.Namespace, p)
				out[host] += fmt.Sprintf("%s: %s %s; ", p, a, holder)
			}
		}
		for _, p := range []string{"10.0.0.0/9", "10.0.7.1/32"} {
			a, holder := v.RangeHolder("evil", netip.MustParsePrefix(p))
			out["rule.example"] += fmt.Sprintf("%s: %s %s; ", p, a, holder)
		}
		return out
	}
	r := rand.New(rand.NewPCG(3, 4))
	changed := 0
	for range 40 {
		b := newBuilder()
		b.apply(entries)
		w, _ := b.finish()
		last, before := map[object.Ref]Change{}, seen(w)
		for range 12 {
			namespace := []string{"a", "b", "evil"}[r.IntN(3)]
			c := at(object.KindPod, namespace, fmt.Sprint("p", r.IntN(3)), addresses[r.IntN(len(addresses))])
			if r.IntN(2) == 0 {
				c = at(object.KindService, namespace, "s", addresses[r.IntN(len(addresses))])
			}
			last[c.Ref] = c
			b.apply([]Change{c})
			w, dirty := b.finish()
			fresh := newBuilder()
			fresh.apply(entries)
			for _, c := range last {
				fresh.apply([]Change{c})
			}
			all, _ := fresh.finish()
			is, would := seen(w), seen(all)
			for host := range would {
				if is[host] != would[host] {
					t.Fatalf("after %v: %s is kept from %s\nfrom nothing from %s", c.Ref, host, is[host], would[host])
				}
				if is[host] == before[host] {
					continue
				}
				changed++
				if dirty.Hosts[host] != TouchHost {
					t.Fatalf("after %v: %s is not marked, though kept from %s and no longer from %s", c.Ref, host, is[host], before[host])
				}
			}
			before = is
		}
	}
	if changed < 100 {
		t.Errorf("only %d changes", changed)
	}
}

// TestRangesOfOthersCostNothing: pods beyond the first of a range change nothing for it.
func TestRangesOfOthersCostNothing(t *testing.T) {
	pod := func(name, address string) Change {
		return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %s, namespace: a}\nstatus: {phase: Running, podIP: %s}", name, address))}
	}
	b := newBuilder()
	b.apply([]Change{listedEntry(t, "evil", "wide", "addresses: [0.0.0.0/1], ports: [{number: 80, name: tcp, protocol: TCP}]"), pod("first", "10.0.0.1")})
	b.finish()
	for what, c := range map[string]Change{"another pod": pod("next", "10.0.0.2"), "its going": {Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "next"}}} {
		b.apply([]Change{c})
		if _, dirty := b.finish(); dirty.Hosts["wide.example"] != TouchNone {
			t.Errorf("%s marks the host of the range", what)
		}
	}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "first"}}})
	if _, dirty := b.finish(); dirty.Hosts["wide.example"] != TouchHost {
		t.Error("that nobody has an address there any more does not mark the host")
	}
}
