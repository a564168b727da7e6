package translate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

var updateGateways = flag.Bool("update-gateways", false, "write what is made into the golden stories of gateways")

// TestGatewayAPIStories: a story is a sentence and in.yaml, and what comes of it on
// the Pods of the Gateway a/front: listeners.txt, routes.yaml and findings.txt; on
// a sidecar of namespace a: sidecar.yaml and sidecar.txt.
func TestGatewayAPIStories(t *testing.T) {
	files, err := filepath.Glob("testdata/gateway-stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files, hosts := gatewayAPIStory(t, archive.Files[0])
			got := &txtar.Archive{Comment: archive.Comment, Files: files}
			if *updateGateways {
				if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(got))); diff != "" {
				t.Errorf("go test ./translate -run TestGatewayAPIStories -update-gateways writes it anew\n%s", diff)
			}
			if out, err := validateRoutes(t, envoytest.Path(t), hosts); err != nil {
				t.Errorf("Envoy does not take them: %v\n%s", err, out)
			}
		})
	}
}

func gatewayAPIStory(t *testing.T, in txtar.File) ([]txtar.File, []*routev3.VirtualHost) {
	t.Helper()
	var changes []mesh.Change
	for doc := range strings.SplitSeq(string(in.Data), "\n---\n") {
		changes = append(changes, gatewayAPIChange(t, doc))
	}
	w := worldOf(t, changes)
	label := map[string]string{gatewayapi.GatewayNameLabel: "front"}
	plan := Gateway(GatewayInput{
		View:     w.View(mesh.Scope{Role: mesh.RoleRouter, Namespace: "a", Labels: gatewayapi.GatewayNameLabel + "=front"}),
		Workload: &registry.Workload{Namespace: "a", Name: "front", Labels: label},
		Has:      func(string) bool { return true },
	})
	listeners, findings, hosts := "", "", []*routev3.VirtualHost(nil)
	for _, l := range plan.Listeners {
		if err := l.ValidateAll(); err != nil {
			t.Errorf("listener %s: %v", l.Name, err)
		}
		listeners += chainLines(t, l.Listener)
	}
	for _, h := range plan.Hosts {
		vh, found := h.built()
		plan.Findings = append(plan.Findings, found...)
		if err := vh.ValidateAll(); err != nil {
			t.Errorf("virtual host %s: %v", vh.Name, err)
		}
		hosts = append(hosts, vh)
	}
	for _, f := range plan.Findings {
		findings += string(f.Code) + " " + f.String() + "\n"
	}
	sidecar, chains, found := ruledHosts(t, w.View(mesh.Scope{Namespace: "a"}))
	out := []txtar.File{in, {Name: "listeners.txt", Data: []byte(listeners)}, {Name: "routes.yaml", Data: routesYAML(t, hosts)}}
	if findings += strings.Join(append(found, ""), "\n"); findings != "" {
		out = append(out, txtar.File{Name: "findings.txt", Data: []byte(findings)})
	}
	if len(sidecar) > 0 {
		out = append(out, txtar.File{Name: "sidecar.yaml", Data: routesYAML(t, sidecar)}, txtar.File{Name: "sidecar.txt", Data: []byte(strings.Join(append(chains, ""), "\n"))})
	}
	return out, hosts
}

// chainLines is a line for each filter chain: the names and certificates of TLS,
// and where the requests or connections go.
func chainLines(t *testing.T, l *listenerv3.Listener) string {
	t.Helper()
	out := ""
	for _, c := range l.FilterChains {
		line := fmt.Sprintf("%s sni=%v", l.Name, c.GetFilterChainMatch().GetServerNames())
		if socket := c.GetTransportSocket(); socket != nil {
			var tls tlsv3.DownstreamTlsContext
			if err := socket.GetTypedConfig().UnmarshalTo(&tls); err != nil {
				t.Fatal(err)
			}
			for _, s := range tls.CommonTlsContext.TlsCertificateSdsSecretConfigs {
				line += " certificate=" + s.Name
			}
		}
		for _, f := range c.Filters {
			var http hcmv3.HttpConnectionManager
			var tcp tcpv3.TcpProxy
			switch config := f.GetTypedConfig(); {
			case config.UnmarshalTo(&http) == nil:
				line += " -> routes " + http.GetRds().GetRouteConfigName()
			case config.UnmarshalTo(&tcp) == nil && tcp.GetWeightedClusters() != nil:
				for _, w := range tcp.GetWeightedClusters().Clusters {
					line += fmt.Sprintf(" -> %s (%d)", w.Name, w.Weight)
				}
			case tcp.GetCluster() != "":
				line += " -> " + tcp.GetCluster()
			}
		}
		out += line + "\n"
	}
	return out
}

func gatewayAPIChange(t *testing.T, doc string) mesh.Change {
	t.Helper()
	var head metav1.PartialObjectMetadata
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	objects := map[string]metav1.Object{
		"Service": &corev1.Service{}, "Namespace": &corev1.Namespace{}, "GatewayClass": &gatewayv1.GatewayClass{}, "Gateway": &gatewayv1.Gateway{}, "HTTPRoute": &gatewayv1.HTTPRoute{},
		"GRPCRoute": &gatewayv1.GRPCRoute{}, "TLSRoute": &gatewayv1.TLSRoute{}, "TCPRoute": &gatewayv1.TCPRoute{}, "ReferenceGrant": &gatewayv1.ReferenceGrant{},
	}
	o := objects[head.Kind]
	if o == nil {
		t.Fatalf("unknown kind in\n%s", doc)
	}
	if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	kind := object.Kind(head.Kind)
	if group, _, ok := strings.Cut(head.APIVersion, "/"); ok {
		kind = object.Kind(group + "/" + head.Kind)
	}
	return mesh.Change{Ref: object.Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}, Object: o}
}
