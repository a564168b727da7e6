package snapshot

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func resourceOf(t testing.TB, typ Type, name string, m proto.Message, owners ...object.Ref) *Resource {
	t.Helper()
	r, err := NewResource(typ, name, m, owners...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// host is a virtual host whose content is told apart by v.
func host(t testing.TB, name string, v int) *Resource {
	return resourceOf(t, VirtualHost, name, &routev3.VirtualHost{Name: name, Domains: []string{fmt.Sprint("v", v)}})
}

func TestVersionFollowsBytesOnly(t *testing.T) {
	a := resourceOf(t, Cluster, "a", &clusterv3.Cluster{Name: "a"}, object.Ref{Name: "one"})
	b := resourceOf(t, Cluster, "a", &clusterv3.Cluster{Name: "a"}, object.Ref{Name: "two"})
	c := resourceOf(t, Cluster, "a", &clusterv3.Cluster{Name: "a", AltStatName: "x"})
	if a.Version != b.Version || !a.Same(b) {
		t.Error("equal bytes have different versions")
	}
	if a.Version == c.Version || a.Same(c) {
		t.Error("different bytes have one version")
	}
	if len(a.Version) != 16 {
		t.Errorf("version %q", a.Version)
	}
}

func TestNewResourceRefuses(t *testing.T) {
	if _, err := NewResource(VirtualHost, "80/a", &routev3.VirtualHost{Name: "a"}); err == nil {
		t.Error("a virtual host that is named otherwise than its resource was taken")
	}
	if _, err := NewResource(Endpoint, "a", &endpointv3.ClusterLoadAssignment{ClusterName: "b"}); err == nil {
		t.Error("an assignment of another cluster was taken")
	}
	if _, err := NewResource(Cluster, "\xff", &clusterv3.Cluster{Name: "\xff"}); err == nil {
		t.Error("text that is not UTF-8 was taken")
	}
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func wrap(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNeeds(t *testing.T) {
	tls := &tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: ads()}, {Name: "file"}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "ROOTCA", SdsConfig: ads()},
			},
		},
	}}
	socket := &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(t, tls)}}
	cluster := resourceOf(t, Cluster, "c", &clusterv3.Cluster{
		Name:                   "c",
		ClusterDiscoveryType:   &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:       &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{{TransportSocket: socket}, {TransportSocket: socket}},
	})
	want := []Key{{Endpoint, "c"}, {Secret, "ROOTCA"}, {Secret, "default"}}
	if !slices.Equal(cluster.Needs, want) {
		t.Errorf("a cluster needs %v, want %v", cluster.Needs, want)
	}
	behind := &corev3.TransportSocket{Name: "proxy", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(t, &proxyprotocolv3.ProxyProtocolUpstreamTransport{TransportSocket: socket})}}
	cluster = resourceOf(t, Cluster, "c", &clusterv3.Cluster{Name: "c", TransportSocket: behind})
	if want := []Key{{Secret, "ROOTCA"}, {Secret, "default"}}; !slices.Equal(cluster.Needs, want) {
		t.Errorf("a cluster of the PROXY protocol needs %v, want %v", cluster.Needs, want)
	}
	broken := wrap(t, tls)
	broken.Value = broken.Value[:len(broken.Value)-1]
	socket = &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: broken}}
	if r, err := NewResource(Cluster, "c", &clusterv3.Cluster{Name: "c", TransportSocket: socket}); err == nil {
		t.Errorf("settings that end early are read: %v", r.Needs)
	}
	manager := &hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "80", ConfigSource: ads()}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "ext", ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{
			ConfigDiscovery: &corev3.ExtensionConfigSource{ConfigSource: ads()},
		}}},
	}
	listener := resourceOf(t, Listener, "l", &listenerv3.Listener{Name: "l", DefaultFilterChain: &listenerv3.FilterChain{
		Filters: []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: wrap(t, manager)}}},
	}})
	want = []Key{{ExtensionConfig, "ext"}, {RouteConfig, "80"}}
	if !slices.Equal(listener.Needs, want) {
		t.Errorf("a listener needs %v, want %v", listener.Needs, want)
	}
}

func TestInterner(t *testing.T) {
	in := NewInterner()
	a := in.Intern(host(t, "80/a", 1))
	if in.Intern(host(t, "80/a", 1)) != a {
		t.Error("equal resources have two pointers")
	}
	if in.Intern(host(t, "80/a", 2)) == a {
		t.Error("different resources have one pointer")
	}
	owned := resourceOf(t, VirtualHost, "80/a", &routev3.VirtualHost{Name: "80/a", Domains: []string{"v1"}}, object.Ref{Name: "x"})
	if in.Intern(owned) != owned {
		t.Error("the owners of another resource were kept")
	}
	for i := range 10 * mapRoom {
		if i%mapRoom == 0 {
			runtime.GC()
		}
		in.Intern(host(t, "80/b", i))
	}
	if n := len(in.known); n > 5*mapRoom {
		t.Errorf("%d names are kept", n)
	}
	runtime.GC()
	in.Prune()
	if n := len(in.known); n != 1 || in.Intern(host(t, "80/a", 3)) == owned {
		t.Errorf("%d names are kept whose resources have gone", n)
	}
	runtime.KeepAlive(owned)
}

// TestDiffAgainstPlainMaps changes random resources of random layers, moves
// some from layer to layer, and compares Diff and Version with the slow way.
func TestDiffAgainstPlainMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var stacks []Stack
	var stack Stack
	for range 300 {
		name := fmt.Sprintf("80/h%02d", r.IntN(40))
		layer := r.IntN(numLayers)
		for i := range stack {
			stack[i] = stack[i].With(nil, Key{VirtualHost, name})
		}
		if r.IntN(3) > 0 {
			stack[layer] = stack[layer].With([]*Resource{host(t, name, r.IntN(3))})
		}
		stacks = append(stacks, stack)
	}
	for i, a := range stacks {
		b := stacks[r.IntN(len(stacks))]
		var want, got []string
		for k := range 40 {
			name := fmt.Sprintf("80/h%02d", k)
			if x, y := a.Get(VirtualHost, name), b.Get(VirtualHost, name); !x.Same(y) {
				want = append(want, fmt.Sprint(name, x != nil, y != nil))
			}
		}
		for _, d := range a.Diff(b, VirtualHost) {
			got = append(got, fmt.Sprint(d.Name, d.Old != nil, d.New != nil))
			if !d.New.Same(b.Get(VirtualHost, d.Name)) {
				t.Fatalf("%s is not what the new stack has", d.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("stack %d: got %v, want %v", i, got, want)
		}
		if equal := a.Sum(VirtualHost) == b.Sum(VirtualHost); equal != (len(want) == 0) {
			t.Fatalf("versions equal: %t, differences: %v", equal, want)
		}
		if n := len(slices.Collect(a.All(VirtualHost))); n != a.Len(VirtualHost) {
			t.Fatalf("%d resources, Len says %d", n, a.Len(VirtualHost))
		}
	}
}

func TestRevisionWithNothingIsItself(t *testing.T) {
	a := host(t, "80/a", 1)
	rev := NewRevision(a)
	if rev.With([]*Resource{a}, Key{VirtualHost, "none"}) != rev {
		t.Error("a change that changes nothing made another revision")
	}
	var none *Revision
	if none.With(nil) != nil || none.Len(Cluster) != 0 || none.Get(Cluster, "x") != nil {
		t.Error("nil is not an empty revision")
	}
	if got := none.With([]*Resource{a}); got.Get(VirtualHost, "80/a") != a || (Stack{got}).Sum(VirtualHost) != (Stack{rev}).Sum(VirtualHost) {
		t.Error("built one by one and built at once differ")
	}
}

func TestPrefix(t *testing.T) {
	stack := Stack{NewRevision(host(t, "80/a", 1), host(t, "8080/a", 1), host(t, "80/b", 1)), nil, NewRevision(host(t, "80/c", 1))}
	var got []string
	for r := range stack.Prefix(VirtualHost, "80/") {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, []string{"80/a", "80/b", "80/c"}) {
		t.Errorf("got %v", got)
	}
}

func TestViewSignalsOnce(t *testing.T) {
	closed := 0
	v := NewView(Stack{}, func() { closed++ })
	a, b := Stack{NewRevision()}, Stack{NewRevision()}
	v.Publish(a)
	v.Publish(b)
	<-v.Changed()
	if v.Current() != b {
		t.Error("the view does not show the newest stack")
	}
	v.Publish(b)
	select {
	case <-v.Changed():
		t.Error("a second signal for what was noticed, or for nothing")
	default:
	}
	v.Close()
	v.Close()
	if closed != 1 {
		t.Errorf("onClose ran %d times", closed)
	}
}
