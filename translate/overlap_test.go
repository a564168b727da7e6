package translate

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// matchesOf says what each chain of a listener matches, "prefixes names".
func matchesOf(chains []*listenerv3.FilterChain) (out []string) {
	for _, c := range chains {
		var prefixes []string
		for _, p := range c.GetFilterChainMatch().GetPrefixRanges() {
			prefixes = append(prefixes, fmt.Sprint(p.AddressPrefix, "/", p.PrefixLen.GetValue()))
		}
		out = append(out, fmt.Sprint(prefixes, c.GetFilterChainMatch().GetServerNames()))
	}
	return out
}

// Chains that share a prefix and a name, and not all of them, make Envoy refuse
// the listener, and with it what every other host has there.
func TestChainsDoNotOverlap(t *testing.T) {
	ten, eleven := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("11.0.0.0/8")
	a, b := &registry.Service{Host: "a", Ref: object.Ref{Name: "a"}}, &registry.Service{Host: "b", Ref: object.Ref{Name: "b"}}
	l, findings := OutboundListener(ListenerInput{Key: anyAddress(80), HTTP: true, Config: mesh.DefaultConfig(), Claims: []Claim{
		{Host: "a", Kind: ClaimTCP, Service: a, Chains: []Chain{{Prefixes: []netip.Prefix{ten}}, {Prefixes: []netip.Prefix{ten}, SNI: []string{"x"}}}},
		{Host: "b", Kind: ClaimTCP, Service: b, Chains: []Chain{{Prefixes: []netip.Prefix{eleven, ten}}, {Prefixes: []netip.Prefix{ten}}}},
	}})
	want := []string{"[] []", "[10.0.0.0/8] []", "[10.0.0.0/8] [x]", "[11.0.0.0/8] []"}
	if got := matchesOf(l.FilterChains); !slices.Equal(got, want) {
		t.Errorf("chains match %q, want %q", got, want)
	}
	if len(findings) != 2 || findings[0].Object.Name != "b" || findings[0].Winner.Name != "a" {
		t.Errorf("findings %v", findings)
	}

	chain := func(prefixes []string, names ...string) *listenerv3.FilterChain {
		m := &listenerv3.FilterChainMatch{ServerNames: names}
		for _, p := range prefixes {
			m.PrefixRanges = append(m.PrefixRanges, &corev3.CidrRange{AddressPrefix: p, PrefixLen: wrapperspb.UInt32(8)})
		}
		return &listenerv3.FilterChain{FilterChainMatch: m}
	}
	got := matchesOf(distinctChains([]*listenerv3.FilterChain{
		chain(nil, "a", "b"), chain(nil, "b", "c"), chain([]string{"10.0.0.0"}), chain([]string{"11.0.0.0", "10.0.0.0"}), chain(nil), chain(nil), chain([]string{"10.0.0.0"}, "a"),
	}))
	if want := []string{"[] [a b]", "[] [c]", "[10.0.0.0/8] []", "[11.0.0.0/8] []", "[] []", "[10.0.0.0/8] [a]"}; !slices.Equal(got, want) {
		t.Errorf("chains of a gateway match %q, want %q", got, want)
	}
}

func TestWeightsFitTogether(t *testing.T) {
	in := serversInput(2)
	for i := range in.Endpoints.Endpoints {
		in.Endpoints.Endpoints[i].Weight, in.Endpoints.Endpoints[i].Locality = math.MaxUint32, registry.Locality{}
	}
	sum := uint64(0)
	for _, l := range Endpoints(in).Endpoints {
		for _, e := range l.LbEndpoints {
			sum += uint64(e.LoadBalancingWeight.GetValue())
		}
	}
	if sum == 0 || sum > math.MaxUint32 {
		t.Errorf("the weights of a locality together are %d", sum)
	}
}
