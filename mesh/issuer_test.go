package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

func authentication(namespace, name string, age int, rules ...*security.JWTRule) Change {
	o := &securityv1.RequestAuthentication{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0))}}
	o.Spec.JwtRules = rules
	return Change{Ref: object.Ref{Kind: object.KindRequestAuthentication, Namespace: namespace, Name: name}, Object: o}
}

func settingsOf(text string) Change {
	return Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: " + text)}
}

// TestIssuersThatAreAsked: those without keys and with an address, each once
// with all namespaces that name it, and of too many the ones of the oldest objects, with a finding for the others.
func TestIssuersThatAreAsked(t *testing.T) {
	a, b := "https://a.example", "https://b.example"
	names := func(w *World) (out []string) {
		issuers, _ := w.Issuers()
		for _, i := range issuers {
			out = append(out, i.Name+" "+strings.Join(i.Namespaces, " "))
		}
		return out
	}
	few := []Change{
		authentication("y", "young", 3, &security.JWTRule{Issuer: a}),
		authentication("x", "old", 1, &security.JWTRule{Issuer: a}, &security.JWTRule{Issuer: "me"}, &security.JWTRule{Issuer: "https://c.example?"}, &security.JWTRule{Issuer: "https://c.example#"}, &security.JWTRule{Issuer: "http://c.example"}, &security.JWTRule{Issuer: "https://u:p@c.example"},
			&security.JWTRule{Issuer: "https://d.example", JwksUri: "https://d.example/keys"}, &security.JWTRule{Issuer: "https://e.example", Jwks: "{}"}),
		authentication("y", "middle", 2, &security.JWTRule{Issuer: b}, &security.JWTRule{Issuer: a}),
	}
	if got := names(Build(few)); !slices.Equal(got, []string{a + " x y", b + " y"}) {
		t.Errorf("asked: %v", got)
	}
	if got := names(Build(append(few, settingsOf("{issuerKeys: written}")))); len(got) != 0 {
		t.Errorf("asked where nobody is to be: %v", got)
	}

	var many []Change
	for i := range maxIssuersEach + 1 {
		many = append(many, authentication("many", fmt.Sprintf("a%d", i), 100-i, &security.JWTRule{Issuer: fmt.Sprintf("https://%d.example", i)}))
	}
	// One that is named already costs nothing, though it stands behind one that is too many.
	many = append(many, authentication("many", "late", 101, &security.JWTRule{Issuer: "https://late.example"}, &security.JWTRule{Issuer: "https://later.example"}))
	w := Build(append(few, many...))
	issuers, findings := w.Issuers()
	if len(issuers) != maxIssuersEach+2 || len(findings) != 3 || findings[0].Object.Name != "a0" || findings[2].Field != "spec.jwtRules[1]" || findings[0].Code != object.CodeKeysUnknown {
		t.Errorf("%d asked, %v", len(issuers), findings)
	}
}

// TestKeysDirtyWhatTheyAreFor: keys that come change what is accepted where a policy names
// their issuer alone, and nothing else.
func TestKeysDirtyWhatTheyAreFor(t *testing.T) {
	b := newBuilder()
	b.apply([]Change{
		authentication("x", "a", 1, &security.JWTRule{Issuer: "https://a.example"}),
		authentication("y", "a", 1, &security.JWTRule{Issuer: "https://a.example", Jwks: "{}"}),
	})
	before, _ := b.finish()
	k := &IssuerKeys{Issuer: "https://a.example", Keys: "{}"}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindIssuer, Name: k.Issuer}, Object: k}})
	w, dirty := b.finish()
	if len(dirty.Inbound) != 1 || dirty.All || !dirty.Gateways || len(dirty.Hosts) != 0 {
		t.Errorf("dirty: %+v", dirty)
	}
	if _, is := dirty.Inbound["x"]; !is {
		t.Errorf("dirty: %v", dirty.Inbound)
	}
	if w.IssuerKeys(k.Issuer) != k || before.IssuerKeys(k.Issuer) != nil {
		t.Error("the keys are not in the world, or in the one before")
	}
	if of := w.IssuersOf(w.RequestAuthentications.In("y")); of.Len() != 0 {
		t.Errorf("%v for a policy with keys of its own", of)
	}
}

// TestNoKeysFromInside: nobody is asked for keys at an address that tenants could not reach
// themselves, or which is the cluster's, unless the operator allows it.
func TestNoKeysFromInside(t *testing.T) {
	tenants, outside := object.Ref{Kind: object.KindServiceEntry, Namespace: "x", Name: "e"}, object.Ref{Kind: object.KindWorkloadEntry, Namespace: "x", Name: "w"}
	entry := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "e"}}
	entry.Spec.Hosts, entry.Spec.Addresses = []string{"login.example"}, []string{"93.184.216.11"}
	entry.Spec.Ports = []*networking.ServicePort{{Number: 443, Name: "tls", Protocol: "TLS"}}
	w := Build([]Change{
		settingsOf(`{issuerAddresses: "10.96.7.0/24, fd00:7::/32"}`),
		{Ref: object.Ref{Kind: object.KindNode, Name: "n"}, Object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "93.184.216.7"}}}}},
		{Ref: object.Ref{Kind: object.KindPod, Namespace: "x", Name: "p"}, Object: registry.ParsePod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "p"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "93.184.216.8", PodIPs: []corev1.PodIP{{IP: "93.184.216.8"}}}}, nil)},
		{Ref: object.Ref{Kind: object.KindService, Namespace: "x", Name: "s"}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "s"}, Spec: corev1.ServiceSpec{ClusterIP: "93.184.216.10", ClusterIPs: []string{"93.184.216.10"}, Ports: []corev1.ServicePort{{Port: 80}}}}},
		{Ref: tenants, Object: registry.ParseServiceEntry(entry, object.Domain)},
		{Ref: outside, Object: registry.ParseWorkloadEntry(&networking.WorkloadEntry{Address: "93.184.216.12"}, outside, nil, time.Unix(1, 0))},
	})
	for address, why := range map[string]string{
		"127.0.0.1": "loopback", "::1": "loopback", "0.0.0.0": "unspecified", "169.254.169.254": "link-local", "fe80::1": "link-local", "::ffff:127.0.0.1": "loopback",
		"10.0.0.1": "private", "172.16.3.4": "private", "192.168.0.1": "private", "100.64.0.1": "private", "fd00:1::1": "private", "64:ff9b::10.0.0.1": "private",
		"168.63.129.16": "metadata", "100.100.100.200": "metadata", "224.0.0.1": "not the address of one host", "93.184.216.7": "of the cluster", "93.184.216.8": "of the cluster", "64:ff9b::93.184.216.8": "of the cluster", "93.184.216.10": "of the cluster",
		"192.0.0.8": "no public", "192.0.2.1": "no public", "198.18.0.1": "no public", "198.19.255.255": "no public", "198.51.100.1": "no public", "203.0.113.1": "no public", "240.0.0.1": "no public", "255.255.255.254": "no public",
		"100::1": "no public", "2001:db8::1": "no public", "3fff::1": "no public", "5f00::1": "no public", "fec0::1": "no public", "64:ff9b::240.0.0.1": "no public", "2002:c612:1::1": "no public", "::ffff:198.18.0.1": "no public",
		"93.184.216.9": "", "93.184.216.11": "", "93.184.216.12": "", "198.20.0.1": "", "2600::1": "", "10.96.7.1": "", "fd00:7::1": "",
	} {
		got := w.NoKeysFrom(netip.MustParseAddr(address))
		if (got == "") != (why == "") || !strings.Contains(got, why) {
			t.Errorf("%s: %q, want %q", address, got, why)
		}
	}
}
