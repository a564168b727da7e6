package translate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// awkward are texts that rules hold, well and badly.
var awkward = []string{
	"", "/", "/a", "web", "web.default.svc.cluster.local", "v1", "x-a", "X-A", "host", ":authority", ":path", "bad name", "a\nb", "*", ".*", "a(", "(a)|b{2,9}",
	"%REQ(x)%", "%NOPE%", "100%", `\1`, `\9`, `\`, "5xx,503", "nonsense", "UNAVAILABLE", "10.0.0.0/8", "*.example.com", "a.example", "é", "\x00", "mesh", "./gw",
	"@request.auth.claims.a", "@request.auth.claims[", "https", strings.Repeat("a", 20000), `\pN+`, "%START_TIME(%s)%", "http", "0",
}

// scramble fills a message at random, down to a depth.
func scramble(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(3) == 0 || depth == 0 && f.Message() != nil {
			continue
		}
		switch {
		case f.IsMap():
			for range r.IntN(3) {
				v := m.Mutable(f).Map().NewValue()
				if f.MapValue().Message() != nil {
					scramble(r, v.Message(), depth-1)
				} else {
					v = scalar(r, f.MapValue())
				}
				m.Mutable(f).Map().Set(scalar(r, f.MapKey()).MapKey(), v)
			}
		case f.IsList():
			l := m.Mutable(f).List()
			for range r.IntN(4) {
				v := l.NewElement()
				if f.Message() != nil {
					scramble(r, v.Message(), depth-1)
				} else {
					v = scalar(r, f)
				}
				l.Append(v)
			}
		case f.Message() != nil:
			scramble(r, m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, scalar(r, f))
		}
	}
}

func scalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	numbers := []int64{-1, 0, 1, 80, 100, 200, 302, 503, 8080, 70000, 1 << 30, 2147483647}
	n := numbers[r.IntN(len(numbers))]
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(awkward[r.IntN(len(awkward))])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("body"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{-1, 0, 0.1, 33.3, 100, 101}[r.IntN(6)])
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.IntN(f.Enum().Values().Len() + 1)))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	}
	panic(f.Kind())
}

// scrambledHosts makes the virtual hosts of a mesh whose VirtualServices are
// random, and checks what must hold of any.
func scrambledHosts(t testing.TB, seed uint64) []*routev3.VirtualHost {
	r := rand.New(rand.NewPCG(seed, 0))
	changes := []mesh.Change{
		routeChange(t, "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: tcp, port: 81}, {name: tls, port: 82}, {name: any, port: 83}]}"),
		routeChange(t, "kind: DestinationRule\nmetadata: {name: web}\nspec: {host: web, subsets: [{name: v1}], trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}}"),
	}
	var originals []*networking.VirtualService
	for i := range 4 {
		vs := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("vs%d", i)}}
		scramble(r, vs.Spec.ProtoReflect(), 6)
		vs.Spec.Hosts, vs.Spec.Gateways, vs.Spec.ExportTo = []string{"web"}, nil, nil
		if i == 3 {
			vs.Spec.Hosts = nil
		}
		for _, h := range vs.Spec.Http {
			if h.Delegate != nil && r.IntN(3) > 0 {
				h.Delegate = &networking.Delegate{Name: "vs3"}
			}
			if r.IntN(2) == 0 {
				h.Redirect, h.DirectResponse, h.Delegate = nil, nil, nil
			}
			for _, d := range h.Route {
				d.Destination = &networking.Destination{Host: "web", Subset: "v1"}
			}
		}
		originals = append(originals, proto.CloneOf(&vs.Spec))
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "default", Name: vs.Name}, Object: vs})
	}
	var out []*routev3.VirtualHost
	for i := range 3 { // each in force by itself, with the delegate
		some := append(append(changes[:2:2], changes[2+i]), changes[5])
		hosts, _, _ := ruledHosts(t, worldOf(t, some).View(mesh.Scope{Namespace: "default"}))
		for j, vh := range hosts {
			vh.Name = fmt.Sprintf("%d-%d-%d", seed, i, j)
		}
		out = append(out, hosts...)
	}
	for i, c := range changes[2:] {
		if !proto.Equal(&c.Object.(*networkingv1.VirtualService).Spec, originals[i]) {
			t.Errorf("seed %d: the input was modified", seed)
		}
	}
	return out
}

// FuzzRoutes: whatever VirtualServices say, nothing panics, every message
// keeps Envoy's rules, and nothing that was handed in changes.
func FuzzRoutes(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { scrambledHosts(t, seed) })
}

// TestEnvoyTakesAnyRoutes: what is made of random VirtualServices is more than
// valid messages, Envoy takes it.
func TestEnvoyTakesAnyRoutes(t *testing.T) {
	envoy := envoytest.Path(t)
	var hosts []*routev3.VirtualHost
	routes := 0
	for seed := range uint64(100) {
		for _, vh := range scrambledHosts(t, seed) {
			hosts, routes = append(hosts, vh), routes+len(vh.Routes)
		}
	}
	if routes < 500 {
		t.Errorf("only %d routes were made: the test says little", routes)
	}
	if out, err := validateRoutes(t, envoy, hosts); err != nil {
		t.Errorf("%v\n%.3000s", err, out)
	}
}
