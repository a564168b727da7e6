package translate

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

var (
	hostileTexts = []string{"", ".", "*", "*.", "*x", ".shop.example", "*.shop.example", "SHOP.example", "shop.example.", "a/b", "./*", "a\x00b", "a b", "a\r\nb", "/dev/zero", "/not/there", "%REQ(x)%", "::", "::ffff:0.0.0.0", "fe80::1%eth0", "10.0.0.1",
		"65536", "https", "TCP", "TLS", "HTTP", "http.443", "spiffe://x/y", strings.Repeat("a", 5000)}
	hostileNumbers = []uint32{0, 1, 80, 443, 15000, 15021, 65535, 65536, 4294967295}
)

// eachField calls f with every field below a message, and how to set it.
func eachField(m protoreflect.Message, path string, depth int, f func(path string, m protoreflect.Message, fd protoreflect.FieldDescriptor)) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		at := path + "." + string(fd.Name())
		f(at, m, fd)
		if fd.Message() != nil && !fd.IsMap() && depth > 0 {
			if fd.IsList() {
				list := m.Mutable(fd).List()
				eachField(list.AppendMutable().Message(), at+"[]", depth-1, f)
				list.Truncate(list.Len() - 1)
				continue
			}
			had := m.Has(fd)
			eachField(m.Mutable(fd).Message(), at, depth-1, f)
			if !had {
				m.Clear(fd)
			}
		}
	}
}

// hostileValues are what a field is set to.
func hostileValues(fd protoreflect.FieldDescriptor) (out []protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		for _, s := range hostileTexts {
			out = append(out, protoreflect.ValueOfString(s))
		}
	case protoreflect.Uint32Kind:
		for _, n := range hostileNumbers {
			out = append(out, protoreflect.ValueOfUint32(n))
		}
	case protoreflect.BoolKind:
		out = append(out, protoreflect.ValueOfBool(true))
	case protoreflect.EnumKind:
		for i := range fd.Enum().Values().Len() {
			out = append(out, protoreflect.ValueOfEnum(fd.Enum().Values().Get(i).Number()))
		}
		out = append(out, protoreflect.ValueOfEnum(99))
	}
	return out
}

// TestEveryFieldOfAServer sets every field of a tenant's server to hostile values
// beside an older server on the same port: what is made is valid by the protos' own
// rules, Envoy takes it, and the older server's requests go where they went.
func TestEveryFieldOfAServer(t *testing.T) {
	tls := func(mode networking.ServerTLSSettings_TLSmode) *networking.ServerTLSSettings {
		return &networking.ServerTLSSettings{Mode: mode, CredentialName: "evil"}
	}
	port := func(number uint32, protocol string) *networking.Port {
		return &networking.Port{Number: number, Name: "x", Protocol: protocol}
	}
	listeners := map[string]*listenerv3.Listener{}
	tried := 0
	for _, base := range []*networking.Server{
		{Port: port(80, "HTTP"), Hosts: []string{"evil.example"}},
		{Port: port(443, "HTTPS"), Hosts: []string{"evil.example"}, Tls: tls(networking.ServerTLSSettings_SIMPLE)},
		{Port: port(443, "HTTPS"), Hosts: []string{"evil.example"}, Tls: tls(networking.ServerTLSSettings_MUTUAL)},
		{Port: port(443, "HTTPS"), Hosts: []string{"evil.example"}, Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL, ServerCertificate: "/a", PrivateKey: "/b", CaCertificates: "/c"}},
		{Port: port(443, "TLS"), Hosts: []string{"evil.example"}, Tls: tls(networking.ServerTLSSettings_PASSTHROUGH)},
		{Port: port(9000, "TCP"), Hosts: []string{"*"}},
	} {
		try := func(path string, s *networking.Server) {
			tried++
			plan := planOf(t, append(shopChanges(t), mesh.Change{Ref: object.Ref{Kind: object.KindGateway, Namespace: "evil", Name: "g"}, Object: &networkingv1.Gateway{
				ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: "g", CreationTimestamp: metav1.NewTime(time.Unix(2000, 0))},
				Spec:       networking.Gateway{Selector: map[string]string{"app": "front"}, Servers: []*networking.Server{s}},
			}}))
			for _, at := range []struct {
				port uint32
				sni  string
			}{{80, "-"}, {443, "shop.example"}} {
				if got := plan.answer(t, AnyAddress, at.port, at.sni, "shop.example", "/"); got != "shop.test" {
					t.Errorf("%s of a %s server: requests on %d go to %s", path, base.Port.Protocol, at.port, got)
				}
			}
			for _, l := range plan.Listeners {
				text, err := proto.MarshalOptions{Deterministic: true}.Marshal(l.Listener)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				listeners[string(text)] = l.Listener
			}
		}
		eachField(proto.CloneOf(base).ProtoReflect(), "", 2, func(path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
			root := strings.Split(strings.TrimPrefix(path, "."), ".")
			for _, v := range hostileValues(fd) {
				s := proto.CloneOf(base)
				at := s.ProtoReflect()
				for _, name := range root[:len(root)-1] { // down to the message that has the field
					name, list := strings.CutSuffix(name, "[]")
					down := at.Descriptor().Fields().ByName(protoreflect.Name(name))
					if list {
						at = at.Mutable(down).List().AppendMutable().Message()
					} else {
						at = at.Mutable(down).Message()
					}
				}
				if fd.IsList() {
					at.Mutable(fd).List().Append(v)
					at.Mutable(fd).List().Append(v)
				} else {
					at.Set(fd, v)
				}
				try(path, s)
			}
		})
	}
	t.Logf("%d servers, %d different listeners", tried, len(listeners))
	if tried < 500 || len(listeners) < 20 {
		t.Fatal("hardly anything was tried")
	}
	validateListeners(t, slices.Collect(maps.Values(listeners)))
}

// shopChanges are an older Gateway with a rule, as changes.
func shopChanges(t *testing.T) []mesh.Change {
	t.Helper()
	var out []mesh.Change
	for i, doc := range []string{shopGateway, shopRule} {
		out = append(out, istioChange(t, doc, i))
	}
	return out
}

// validateListeners runs Envoy's own check of all listeners at once, each on a port
// of its own.
func validateListeners(t *testing.T, all []*listenerv3.Listener) {
	t.Helper()
	envoy := envoytest.Path(t)
	var list []any
	for i, l := range all {
		l.Name, l.Address, l.AdditionalAddresses, l.BindToPort = fmt.Sprint("l", i), socketAddress("127.0.0.1", uint32(20000+i)), nil, nil
		list = append(list, encoded(t, l))
	}
	bootstrap, err := json.Marshal(map[string]any{
		"node":              map[string]any{"id": "x", "cluster": "x"},
		"dynamic_resources": map[string]any{"ads_config": map[string]any{"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "xds"}}}}},
		"static_resources":  map[string]any{"listeners": list, "clusters": []any{map[string]any{"name": "xds", "type": "STATIC", "connect_timeout": "1s", "load_assignment": map[string]any{"cluster_name": "xds"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-l", "error", "-c", file).CombinedOutput(); err != nil {
		t.Errorf("Envoy refuses a listener: %v\n%s", err, out)
	}
}
