package random_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	network "net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/kube"
)

// peer is another control plane of the same API, which reads a directory.
type peer struct {
	conn      *grpc.ClientConn
	directory string
	worlds    int
	text      []byte // of the last one
	said      string // the file of its log
}

// startPeer runs the binary that $ISTIOD names beside an API server without objects.
func startPeer(t *testing.T, binary string) *peer {
	t.Helper()
	server, err := kube.Start(t.Context(), kube.Options{NoCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	address := free(t)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<28)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{conn: conn, directory: t.TempDir(), said: filepath.Join(t.TempDir(), "log")}
	config := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "discovery", "--kubeconfig", server.Kubeconfig, "--configDir", p.directory, "--meshConfig", config, "--grpcAddr", address,
		"--httpAddr", free(t), "--httpsAddr", "", "--secureGRPCAddr", "", "--monitoringAddr", free(t), "--ctrlz_port", "0")
	cmd.Env = append(os.Environ(), "POD_NAME=peer", "POD_NAMESPACE=istio-system", "PILOT_CERT_PROVIDER=none", "ENABLE_CA_SERVER=false", "ENABLE_LEADER_ELECTION=false", "PILOT_ENABLE_IP_AUTOALLOCATE=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(p.said, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the peer said: %s", p.complaints(t))
		}
	})
	return p
}

func free(t *testing.T) string {
	t.Helper()
	l, err := network.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// marker is an entry that tells whether a world has been read.
func marker(n int) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: marker, namespace: marker}\nspec: {hosts: [marker-%d.test], ports: [{number: 7, name: tcp, protocol: TCP}], resolution: STATIC, addresses: [240.9.9.9], endpoints: [{address: 192.0.2.250}]}\n", n)
}

// write puts a world in place of the one before.
func (p *peer) write(t *testing.T, objects []string) {
	t.Helper()
	p.worlds++
	text := strings.Join(append(slices.Clone(objects), marker(p.worlds), "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: marker, namespace: marker}\nspec: {egress: [{hosts: [./*]}]}\n"), "---\n")
	p.text = []byte(text)
	p.put(t)
}

func (p *peer) put(t *testing.T) {
	t.Helper()
	temporary := filepath.Join(p.directory, ".next")
	if err := os.WriteFile(temporary, p.text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(p.directory, "world.yaml")); err != nil {
		t.Fatal(err)
	}
}

var complaint = regexp.MustCompile(`(?m)^.*(error|invalid|could not|panic).*$`)

// complaints are the lines of its log that tell of a fault.
func (p *peer) complaints(t *testing.T) [][]byte {
	t.Helper()
	text, err := os.ReadFile(p.said)
	if err != nil {
		t.Fatal(err)
	}
	return complaint.FindAll(text, 10)
}

// await waits until the peer shows the world that was written last; false: its validation
// refuses the world.
func (p *peer) await(t *testing.T) bool {
	t.Helper()
	want := fmt.Sprintf("outbound|7||marker-%d.test", p.worlds)
	for deadline, again := time.Now().Add(time.Minute), time.Now().Add(3*time.Second); ; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(again) { // it may have missed the file
			p.put(t)
			again = time.Now().Add(3 * time.Second)
			for _, line := range p.complaints(t) {
				if bytes.Contains(line, []byte("Failed to parse")) {
					if err := os.Truncate(p.said, 0); err != nil {
						t.Fatal(err)
					}
					t.Logf("the peer refuses world %d: %s", p.worlds, line)
					return false
				}
			}
		}
		r, err := fetch(t.Context(), p.conn, snapshot.Client{Role: snapshot.RoleSidecar, Namespace: "marker", Pod: "marker", IP: "10.0.0.9"})
		if err == nil && r.Clusters[want] != nil {
			return true
		}
		if time.Now().After(deadline) {
			t.Fatalf("the peer does not show its world: %v", err)
		}
	}
}

// fetch asks for all of one moment.
func fetch(ctx context.Context, conn *grpc.ClientConn, c snapshot.Client) (*explain.Resources, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	labels := map[string]any{}
	for k, v := range c.Labels {
		labels[k] = v
	}
	metadata, err := structpb.NewStruct(map[string]any{"NAMESPACE": c.Namespace, "LABELS": labels, "ISTIO_VERSION": "1.32.0", "CLUSTER_ID": "Kubernetes", "GENERATOR": "", "INSTANCE_IPS": c.IP})
	if err != nil {
		return nil, err
	}
	node := &corev3.Node{Id: string(c.Role) + "~" + c.IP + "~" + c.Pod + "." + c.Namespace + "~" + c.Namespace + ".svc.cluster.local", Metadata: metadata}
	ask := func(of snapshot.Type, names []string) ([]*discoveryv3.Resource, error) {
		if len(names) == 0 && (of == snapshot.Endpoint || of == snapshot.RouteConfig) {
			return nil, nil
		}
		if err := stream.Send(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: of.TypeURL(), ResourceNames: names}); err != nil {
			return nil, err
		}
		for {
			answer, err := stream.Recv()
			if err != nil {
				return nil, err
			}
			if answer.TypeUrl != of.TypeURL() {
				continue
			}
			var out []*discoveryv3.Resource
			for _, r := range answer.Resources {
				out = append(out, &discoveryv3.Resource{Resource: r})
			}
			return out, nil
		}
	}
	out := &explain.Resources{Listeners: map[string]*listenerv3.Listener{}, Routes: map[string]*routev3.RouteConfiguration{}, Clusters: map[string]*clusterv3.Cluster{}, Endpoints: map[string]*endpointv3.ClusterLoadAssignment{}}
	list, err := ask(snapshot.Cluster, nil)
	var named, routes []string
	for _, r := range list {
		x := &clusterv3.Cluster{}
		if err := proto.Unmarshal(r.Resource.Value, x); err != nil {
			return nil, err
		}
		out.Clusters[x.Name] = x
		if x.GetType() == clusterv3.Cluster_EDS {
			named = append(named, x.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	if list, err = ask(snapshot.Endpoint, named); err != nil {
		return nil, err
	}
	for _, r := range list {
		x := &endpointv3.ClusterLoadAssignment{}
		if err := proto.Unmarshal(r.Resource.Value, x); err != nil {
			return nil, err
		}
		out.Endpoints[x.ClusterName] = x
	}
	if list, err = ask(snapshot.Listener, nil); err != nil {
		return nil, err
	}
	for _, r := range list {
		x := &listenerv3.Listener{}
		if err := proto.Unmarshal(r.Resource.Value, x); err != nil {
			return nil, err
		}
		out.Listeners[x.Name] = x
		routes = append(routes, routesOf(x)...)
	}
	if list, err = ask(snapshot.RouteConfig, routes); err != nil {
		return nil, err
	}
	for _, r := range list {
		x := &routev3.RouteConfiguration{}
		if err := proto.Unmarshal(r.Resource.Value, x); err != nil {
			return nil, err
		}
		out.Routes[x.Name] = x
	}
	return out, nil
}

// routesOf are the route configurations that a listener asks for.
func routesOf(l *listenerv3.Listener) (out []string) {
	for _, chain := range append(slices.Clone(l.FilterChains), l.DefaultFilterChain) {
		for _, f := range chain.GetFilters() {
			m := &hcmv3.HttpConnectionManager{}
			if f.GetTypedConfig().MessageIs(m) && f.GetTypedConfig().UnmarshalTo(m) == nil && m.GetRds() != nil && !slices.Contains(out, m.GetRds().RouteConfigName) {
				out = append(out, m.GetRds().RouteConfigName)
			}
		}
	}
	return out
}

// peerClients are the proxies whose calls are followed.
var peerClients = []snapshot.Client{
	{Role: snapshot.RoleSidecar, Namespace: "shop", Pod: "client", IP: "10.0.0.1", Labels: map[string]string{"app": "client"}, NodeID: "shop/client", Delta: true, VHDS: true},
	{Role: snapshot.RoleSidecar, Namespace: "other", Pod: "stranger", IP: "10.0.0.2", Labels: map[string]string{"app": "stranger"}, NodeID: "other/stranger", Delta: true, VHDS: true},
	{Role: snapshot.RoleRouter, Namespace: "shop", Pod: "gateway", IP: "10.0.0.3", Labels: map[string]string{"app": "gateway"}, NodeID: "shop/gateway", Delta: true, VHDS: true},
}

// fairways are what Fairway gives each client of the objects.
func fairways(t *testing.T, objects []string) map[string]*explain.Resources {
	t.Helper()
	changes := read(t, strings.Join(append(slices.Clone(objects), marker(0)), "---\n"))
	if len(changes) != len(objects)+1 {
		t.Fatalf("of %d objects %d can be read:\n%s", len(objects), len(changes)-1, strings.Join(objects, "---\n"))
	}
	p := started(t, peerClients, changes)
	out := map[string]*explain.Resources{}
	for _, c := range peerClients {
		dump, err := p.engine.Dump(c.NodeID, true)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(dump)
		if err != nil {
			t.Fatal(err)
		}
		var d explain.Dump
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if out[c.NodeID], err = explain.Decode(d); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// peerCalls are the calls of one client.
func peerCalls() (out []explain.Request) {
	add := func(host, url string, headers map[string][]string) {
		r, err := explain.NewRequest("GET", url, headers)
		if err != nil {
			panic(err) // they are written here
		}
		if a := peerAddress(host); a != "" {
			r.Destination = mustAddr(a)
		} else {
			r.Destination = mustAddr("198.51.100.7")
		}
		out = append(out, r)
	}
	for _, host := range append(slices.Clone(peerHosts), "y.one.example", "z.example", "unknown.test") {
		for _, port := range []string{"80", "8080"} {
			for _, path := range []string{"/", "/a"} {
				add(host, "http://"+host+":"+port+path, nil)
				add(host, "http://"+host+":"+port+path, map[string][]string{"X-A": {"b"}})
			}
		}
		add(host, "https://"+host+"/", nil)
		if peerAddress(host) != "" {
			short, _, _ := strings.Cut(host, ".svc")
			name, _, _ := strings.Cut(host, ".")
			for _, h := range []string{short, name} {
				r, _ := explain.NewRequest("GET", "http://"+h+"/a", nil)
				r.Destination = mustAddr(peerAddress(host))
				out = append(out, r)
			}
			r, _ := explain.NewRequest("GET", "tcp://"+host+":9000", nil)
			r.Destination = mustAddr(peerAddress(host))
			out = append(out, r)
		}
	}
	return out
}

// where says where a call goes, in words that both control planes have in common: a
// cluster that the proxy does not have is an answer of 503.
func where(a explain.Answer, r *explain.Resources) string {
	shares := map[string]float64{}
	for _, s := range a.To {
		if r.Clusters[s.Cluster] == nil {
			s.Cluster = "answered 503"
		}
		shares[s.Cluster] += s.Percent
	}
	var to []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		to = append(to, fmt.Sprintf("%s %.0f", name, shares[name]))
	}
	if len(to) == 0 && (a.Status == 0 || a.Status == http.StatusBadGateway) || slices.Equal(to, []string{"BlackHoleCluster 100"}) {
		return "refused" // in the one way or the other
	}
	if len(to) == 0 {
		return fmt.Sprintf("answered %d 100", a.Status)
	}
	return strings.Join(to, ", ")
}

// TestAsThePeer: random worlds of Istio objects through Fairway and, where $ISTIOD names a
// binary, through istiod: the same calls go to the same clusters, but for the differences
// that docs/differences.md explains, and what is done to them on the way is the same.
// $WORLDS is how many; 200. $SEED is the first one's seed; 0.
func TestAsThePeer(t *testing.T) {
	binary := os.Getenv("ISTIOD")
	worlds := 5
	if binary != "" {
		worlds = 200
	}
	if n := os.Getenv("WORLDS"); n != "" {
		if _, err := fmt.Sscan(n, &worlds); err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(0)
	if n := os.Getenv("SEED"); n != "" {
		if _, err := fmt.Sscan(n, &first); err != nil {
			t.Fatal(err)
		}
	}
	var p *peer
	if binary != "" {
		p = startPeer(t, binary)
	}
	covered, calls, refused, unlike, shown := map[string]int{}, 0, 0, map[string]int{}, map[uint64]bool{}
	for n := range uint64(worlds) {
		seed := first + n
		d := drawWorld(seed)
		for k, n := range d.covered {
			covered[k] += n
		}
		ours := fairways(t, d.objects)
		if p != nil {
			if p.write(t, d.objects); !p.await(t) {
				refused++
				continue
			}
		}
		for _, c := range peerClients {
			var theirs *explain.Resources
			if p != nil {
				var err error
				if theirs, err = fetch(t.Context(), p.conn, c); err != nil {
					t.Fatal(err)
				}
			}
			for _, call := range callsOf(c) {
				a := explain.Explain(ours[c.NodeID], call)
				calls++
				if p == nil {
					continue
				}
				b := explain.Explain(theirs, call)
				here, there := where(a, ours[c.NodeID]), where(b, theirs)
				if here == there && here != "refused" && !strings.HasPrefix(here, "PassthroughCluster") {
					here, there = onTheWay(a), onTheWay(b)
				}
				if here != there {
					why := explained(d, c, call, here, there)
					unlike[why]++
					if why == "" && !shown[seed] { // one of each world
						shown[seed] = true
						t.Errorf("world %d: %s calls %s://%s:%d%s (%s): to %s here, and %s there; objects:\n%s", seed, c.NodeID, call.Scheme, call.Host, call.Port, call.Path, call.Destination, here, there, strings.Join(d.objects, "---\n"))
					}
				}
			}
		}
	}
	t.Logf("%d worlds (%d refused by the peer), %d calls followed; drawn: %v", worlds, refused, calls, covered)
	if refused > worlds/10 {
		t.Errorf("the peer refuses %d of %d worlds, which are to be valid", refused, worlds)
	}
	t.Logf("differences that are explained: %v", unlike)
}

// explained names the difference of docs/differences.md that a call shows; "": none.
func explained(d *drawn, c snapshot.Client, call explain.Request, here, there string) string {
	nowhere := slices.Contains([]string{"PassthroughCluster 100", "refused"}, there)
	if c.Role == snapshot.RoleRouter {
		switch {
		case failing(here) > failing(there) && d.hides(there, c.Namespace):
			return "a destination that is not exported to its client is not found (36)"
		case call.Scheme == "http" && failing(there) > failing(here):
			return "a destination without a port is its service's only one (3)"
		}
		return explainedAtGateway(d, call, here, there)
	}
	switch {
	case call.Scheme == "http" && nowhere && d.patternKeeps(call.Host, call.Port):
		return "a rule's pattern keeps the names that no service has (37)"
	case call.Scheme == "https" && nowhere && strings.HasPrefix(here, "outbound|443|"):
		return "what no tls rule matches goes on to the service (34)"
	case call.Scheme == "http" && call.Port == mesh.RuleOnlyPort && nowhere:
		return "a rule serves its host on port 80, whatever ports the host's entry has (38)"
	case call.Scheme == "http" && strings.HasPrefix(there, fmt.Sprintf("outbound|%d||*.", call.Port)):
		return "a rule for a name below an entry's pattern leads its requests on the entry's ports (37)"
	case call.Scheme != "http" && d.contested(called(call)):
		return "for connections, too, one rule is in force (37)"
	case d.sidecarWith("'~/*'"):
		return "~/* beside other hosts of a Sidecar hides nothing (107)"
	case call.Scheme == "https" && slices.Contains([]string{"PassthroughCluster 100", "refused"}, here):
		return "a pattern of a tls rule takes no names of entries that the client does not see (34)"
	case d.sidecarWith("egress") && slices.Contains([]string{"PassthroughCluster 100", "refused"}, here):
		return "of a rule's pattern a Sidecar imports the part that it names (107)"
	case call.Scheme == "http" && failing(there) > failing(here):
		return "a destination without a port is its service's only one (3)"
	case failing(here) > failing(there) && d.hides(there, c.Namespace):
		return "a destination that is not exported to its client is not found (36)"
	case call.Scheme == "http" && d.contested(called(call)):
		return "the rule that is in force for a host is so on all its ports (39)"
	}
	return ""
}

// sidecarWith tells whether there is a Sidecar that says something.
func (d *drawn) sidecarWith(words string) bool {
	return slices.ContainsFunc(d.objects, func(o string) bool { return strings.Contains(o, "kind: Sidecar") && strings.Contains(o, words) })
}

// failing is the share of calls that are answered with 503.
func failing(where string) (percent float64) {
	_, rest, _ := strings.Cut(where, "answered 503 ")
	_, _ = fmt.Sscan(strings.TrimSuffix(strings.SplitN(rest+",", ",", 2)[0], ","), &percent)
	return percent
}

// hides tells whether an entry of a cluster is not exported to a namespace.
func (d *drawn) hides(clusters, namespace string) bool {
	return slices.ContainsFunc(d.objects, func(o string) bool {
		_, host, _ := strings.Cut(o, "hosts: ['")
		host, _, _ = strings.Cut(host, "'")
		return strings.Contains(o, "kind: ServiceEntry") && strings.Contains(clusters, "|"+host) && strings.Contains(o, "exportTo: [other]") && namespace != "other"
	})
}

// called is the host that a call is for, whatever name it uses.
func called(call explain.Request) string {
	for _, h := range peerHosts {
		if peerAddress(h) == call.Destination.String() {
			return h
		}
	}
	return call.Host
}

// contested tells whether several VirtualServices have the host, or another one of a
// VirtualService that has it.
func (d *drawn) contested(host string) bool {
	var rules [][]string
	for _, o := range d.objects {
		if strings.Contains(o, "kind: VirtualService") {
			_, hosts, _ := strings.Cut(o, "hosts: [")
			hosts, _, _ = strings.Cut(hosts, "]")
			rules = append(rules, strings.Split(strings.ReplaceAll(hosts, "'", ""), ", "))
		}
	}
	meet := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(x string) bool {
			return slices.ContainsFunc(b, func(y string) bool { return object.HostMatches(x, y) || object.HostMatches(y, x) })
		})
	}
	for i, r := range rules {
		if meet(r, []string{host}) && slices.ContainsFunc(rules[:i], func(o []string) bool { return meet(r, o) }) {
			return true
		}
	}
	return false
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
