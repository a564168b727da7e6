package translate

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

var updateInbound = flag.Bool("update-inbound", false, "write what is made into the stories of inbound traffic")

// inboundStory is a txtar file: a sentence, in.yaml with the objects of a mesh
// in which the first Pod is the workload, and the parts that the story is about.
type inboundStory struct {
	file    string
	archive *txtar.Archive
	world   *mesh.World
	in      mesh.Inbound
	out     InboundOutput
}

func inboundStories(t testing.TB) []inboundStory {
	t.Helper()
	files, err := filepath.Glob("testdata/inbound-stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	out := make([]inboundStory, 0, len(files))
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Files) == 0 || a.Files[0].Name != "in.yaml" {
			t.Fatalf("%s does not begin with in.yaml", f)
		}
		s := inboundStory{file: f, archive: a}
		s.world, s.in, s.out = inboundWorld(t, string(a.Files[0].Data))
		out = append(out, s)
	}
	return out
}

// inboundWorld makes the world of YAML documents and what its first Pod accepts.
func inboundWorld(t testing.TB, text string) (*mesh.World, mesh.Inbound, InboundOutput) {
	t.Helper()
	var changes []mesh.Change
	var pod object.Ref
	for doc := range strings.SplitSeq(text, "\n---\n") {
		c := inboundChange(t, doc)
		if c.Ref.Kind == object.KindPod && pod == (object.Ref{}) {
			pod = c.Ref
		}
		changes = append(changes, c)
	}
	w := madeWorld(t, changes)
	x := w.Workload(pod.Namespace, pod.Name)
	if x == nil {
		t.Fatalf("the world has no %s", pod)
	}
	in, findings := w.InboundOf(x)
	out := Inbound(in)
	if alone := InboundFindings(in); !slices.Equal(alone, out.Findings) {
		t.Errorf("found %v without translating, and %v with it", alone, out.Findings)
	}
	for _, c := range out.Listeners[0].FilterChains {
		if n := sizeOf(c.Filters); len(in.AuthorizationPolicies.Slice())+len(in.RequestAuthentications.Slice())+len(in.Telemetries.Slice()) == 0 && n > plainChain/2 {
			t.Errorf("chain %s has %d bytes of filters, and no policies", c.Name, n)
		}
	}
	out.Findings = append(findings, out.Findings...)
	return w, in, out
}

func madeWorld(t testing.TB, changes []mesh.Change) *mesh.World {
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

func inboundChange(t testing.TB, doc string) mesh.Change {
	t.Helper()
	var head struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	if head.Kind == "MeshConfig" {
		return mesh.Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(doc[strings.Index(doc, "spec:\n")+6:])}
	}
	obj, ok := map[string]metav1.Object{
		"Pod": &corev1.Pod{}, "Service": &corev1.Service{}, "Sidecar": &networkingv1.Sidecar{}, "DestinationRule": &networkingv1.DestinationRule{},
		"PeerAuthentication": &securityv1.PeerAuthentication{}, "RequestAuthentication": &securityv1.RequestAuthentication{},
		"AuthorizationPolicy": &securityv1.AuthorizationPolicy{}, "Telemetry": &telemetryv1.Telemetry{},
	}[head.Kind]
	if !ok {
		t.Fatalf("a story has no %q", head.Kind)
	}
	if err := yaml.Unmarshal([]byte(doc), obj); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	namespace := cmp.Or(head.Namespace, "default")
	obj.SetNamespace(namespace)
	return mesh.Change{Ref: object.Ref{Kind: object.Kind(head.Kind), Namespace: namespace, Name: head.Name}, Object: obj}
}

// TestInboundStories compares what is made for a workload with what its
// stories say.
func TestInboundStories(t *testing.T) {
	for _, s := range inboundStories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(s.file), ".txtar"), func(t *testing.T) {
			validInbound(t, s.out)
			if again := Inbound(s.in); !proto.Equal(again.Listeners[0], s.out.Listeners[0]) {
				t.Error("the same input makes another listener")
			}
			got := &txtar.Archive{Comment: s.archive.Comment, Files: s.archive.Files[:1:1]}
			for _, f := range s.archive.Files[1:] {
				got.Files = append(got.Files, txtar.File{Name: f.Name, Data: []byte(s.part(t, f.Name))})
			}
			text := txtar.Format(got)
			if *updateInbound {
				if err := os.WriteFile(s.file, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(s.file)
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(string(want), string(text)); d != "" {
				t.Errorf("not as the story says (-want +got); -update-inbound writes it:\n%s", d)
			}
		})
	}
}

func validInbound(t testing.TB, out InboundOutput) {
	t.Helper()
	for _, l := range out.Listeners {
		if err := l.ValidateAll(); err != nil {
			t.Errorf("listener %s: %v", l.Name, err)
		}
		for _, c := range l.FilterChains {
			for _, f := range c.Filters {
				validAny(t, c.Name, f)
			}
		}
	}
	for _, c := range out.Clusters {
		if err := c.ValidateAll(); err != nil {
			t.Errorf("cluster %s: %v", c.Name, err)
		}
	}
}

// validAny looks into a network filter, and into the HTTP filters of a
// connection manager.
func validAny(t testing.TB, where string, f *listenerv3.Filter) {
	t.Helper()
	m, err := f.GetTypedConfig().UnmarshalNew()
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	check := func(m proto.Message) {
		if v, ok := m.(interface{ ValidateAll() error }); ok {
			if err := v.ValidateAll(); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	check(m)
	if h, ok := m.(*hcmv3.HttpConnectionManager); ok {
		for _, x := range h.HttpFilters {
			config := cmp.Or(x.GetTypedConfig(), x.GetConfigDiscovery().GetDefaultConfig())
			inner, err := config.UnmarshalNew()
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			check(inner)
		}
	}
}

// part renders one part of a story.
func (s inboundStory) part(t testing.TB, name string) string {
	t.Helper()
	l := s.out.Listeners[0]
	switch name {
	case "chains.txt":
		return chainSummary(t, l)
	case "listener-filters.yaml":
		return storyYAML(t, l.ListenerFilters)
	case "chain.yaml":
		return storyYAML(t, l.FilterChains[:1])
	case "http-filters.yaml":
		for _, c := range l.FilterChains {
			if h := managerOf(t, c); h != nil {
				return storyYAML(t, h.HttpFilters[2:len(h.HttpFilters)-1]) // without drain, cors and router
			}
		}
	case "tcp-filters.yaml":
		for _, c := range l.FilterChains {
			if n := len(c.Filters); n > 1 {
				return storyYAML(t, c.Filters[:n-1])
			}
		}
	case "http-loggers.yaml":
		for _, c := range l.FilterChains {
			if h := managerOf(t, c); h != nil {
				return storyYAML(t, h.AccessLog)
			}
		}
	case "tracing.yaml":
		for _, c := range l.FilterChains {
			if h := managerOf(t, c); h != nil {
				return storyYAML(t, []*hcmv3.HttpConnectionManager{{Tracing: h.Tracing, RequestIdExtension: h.RequestIdExtension}})
			}
		}
	case "outbound-tracing.yaml":
		v := s.world.View(mesh.Scope{Role: mesh.RoleSidecar, Namespace: s.in.Namespace, Labels: "app=web"})
		r := telemetry.NewReport(telemetry.ReportingOf(v), resource.Outbound, v.Config, true)
		return storyYAML(t, []*hcmv3.HttpConnectionManager{{Tracing: r.Tracing(), RequestIdExtension: r.RequestID()}})
	case "tcp-loggers.yaml":
		for _, c := range l.FilterChains {
			p := new(tcpv3.TcpProxy)
			if last := c.Filters[len(c.Filters)-1].GetTypedConfig(); last.MessageIs(p) && c.Name != "loop" && last.UnmarshalTo(p) == nil {
				return storyYAML(t, p.AccessLog)
			}
		}
	case "clusters.yaml":
		return storyYAML(t, s.out.Clusters)
	case "findings.txt":
		var b strings.Builder
		for _, f := range s.out.Findings {
			b.WriteString(f.String() + "\n")
		}
		return b.String()
	}
	t.Errorf("nothing to render as %s", name)
	return ""
}

func managerOf(t testing.TB, c *listenerv3.FilterChain) *hcmv3.HttpConnectionManager {
	t.Helper()
	h := new(hcmv3.HttpConnectionManager)
	last := c.Filters[len(c.Filters)-1].GetTypedConfig()
	if !last.MessageIs(h) {
		return nil
	}
	if err := last.UnmarshalTo(h); err != nil {
		t.Fatal(err)
	}
	return h
}

// chainSummary is a line per filter chain: what it matches and where it leads.
func chainSummary(t testing.TB, l *listenerv3.Listener) string {
	t.Helper()
	var b strings.Builder
	for _, c := range l.FilterChains {
		m := c.FilterChainMatch
		fmt.Fprintf(&b, "%s: port %d, %q, %v", c.Name, m.GetDestinationPort().GetValue(), m.GetTransportProtocol(), m.GetApplicationProtocols())
		if c.TransportSocket != nil {
			b.WriteString(", mutual TLS")
		}
		if h := managerOf(t, c); h != nil {
			fmt.Fprintf(&b, " -> HTTP %s\n", h.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()[0].GetRoute().GetCluster())
			continue
		}
		p := new(tcpv3.TcpProxy)
		if err := c.Filters[len(c.Filters)-1].GetTypedConfig().UnmarshalTo(p); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, " -> TCP %s\n", p.GetCluster())
	}
	return b.String()
}

func storyYAML[M proto.Message](t testing.TB, list []M) string {
	t.Helper()
	var b strings.Builder
	for _, m := range list {
		js, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.JSONToYAML(js)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(y))
	}
	return b.String()
}

// told are filters with what the control plane tells proxies of a caller in its place, for
// Envoys without one.
func told(c telemetry.Caller, filters []*listenerv3.Filter) []*listenerv3.Filter {
	out := slices.Clone(filters)
	for i, f := range out {
		if f.GetName() == telemetry.CallerName && f.GetConfigDiscovery() != nil {
			out[i] = &listenerv3.Filter{Name: f.Name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: c.Facts().TypedConfig}}
		}
	}
	return out
}

func inboundJSON(t testing.TB, m proto.Message) json.RawMessage {
	t.Helper()
	js, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
