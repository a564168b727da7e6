package check

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// grown is a kind whose objects are made as large as an API server takes them.
type grown struct {
	kind object.Kind
	make func() (obj any, spec proto.Message)
}

func meta() metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "evil", Name: "large"} }

var grownKinds = []grown{
	{object.KindVirtualService, func() (any, proto.Message) {
		o := &networkingv1.VirtualService{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindDestinationRule, func() (any, proto.Message) {
		o := &networkingv1.DestinationRule{ObjectMeta: meta()}
		o.Spec.Host = "h0.evil.example"
		return o, &o.Spec
	}},
	{object.KindGateway, func() (any, proto.Message) {
		o := &networkingv1.Gateway{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindServiceEntry, func() (any, proto.Message) {
		o := &networkingv1.ServiceEntry{ObjectMeta: meta()}
		o.Spec.Resolution = networking.ServiceEntry_STATIC
		return o, &o.Spec
	}},
	{object.KindWorkloadEntry, func() (any, proto.Message) {
		o := &networkingv1.WorkloadEntry{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindSidecar, func() (any, proto.Message) {
		o := &networkingv1.Sidecar{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindPeerAuthentication, func() (any, proto.Message) {
		o := &securityv1.PeerAuthentication{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindRequestAuthentication, func() (any, proto.Message) {
		o := &securityv1.RequestAuthentication{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindAuthorizationPolicy, func() (any, proto.Message) {
		o := &securityv1.AuthorizationPolicy{ObjectMeta: meta()}
		return o, &o.Spec
	}},
	{object.KindTelemetry, func() (any, proto.Message) {
		o := &telemetryv1.Telemetry{ObjectMeta: meta()}
		return o, &o.Spec
	}},
}

// path leads to a repeated field.
type path []protoreflect.FieldDescriptor

func (p path) String() string {
	var names []string
	for _, f := range p {
		names = append(names, f.JSONName())
	}
	return strings.Join(names, ".")
}

// repeated are the paths to all repeated fields of a message, maps among them.
func repeated(d protoreflect.MessageDescriptor, before path) (out []path) {
	if len(before) > 6 || d.ParentFile().Package() == "google.protobuf" {
		return nil
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		at := append(slices.Clone(before), f)
		if f.IsList() || f.IsMap() {
			out = append(out, at)
		}
		of := f
		if f.IsMap() {
			of = f.MapValue()
		}
		if of.Kind() == protoreflect.MessageKind {
			out = append(out, repeated(of.Message(), at)...)
		}
	}
	return out
}

// grow makes the field at the end of the path n long; those before it have one element.
func grow(m protoreflect.Message, p path, n int) {
	f := p[0]
	count := n
	if len(p) > 1 {
		count = 1
	}
	switch {
	case f.IsList():
		l := m.Mutable(f).List()
		for i := l.Len(); i < count; i++ {
			if f.Kind() == protoreflect.MessageKind {
				e := l.NewElement()
				fill(e.Message(), i, 0)
				l.Append(e)
			} else {
				l.Append(scalar(f, i))
			}
		}
		if len(p) > 1 {
			grow(l.Get(0).Message(), p[1:], n)
		}
	case f.IsMap():
		entries := m.Mutable(f).Map()
		key := func(i int) protoreflect.MapKey { return scalar(f.MapKey(), i).MapKey() }
		for i := entries.Len(); i < count; i++ {
			if f.MapValue().Kind() == protoreflect.MessageKind {
				e := entries.NewValue()
				fill(e.Message(), i, 0)
				entries.Set(key(i), e)
			} else {
				entries.Set(key(i), scalar(f.MapValue(), i))
			}
		}
		if len(p) > 1 {
			grow(entries.Get(key(0)).Message(), p[1:], n)
		}
	default:
		grow(m.Mutable(f).Message(), p[1:], n)
	}
}

// fill sets what a message cannot do without to be used: its texts and numbers, and the
// messages that hold them.
func fill(m protoreflect.Message, i, depth int) {
	fields := m.Descriptor().Fields()
	for k := range fields.Len() {
		f := fields.Get(k)
		switch {
		case f.IsList(), f.IsMap(), f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case f.Kind() == protoreflect.MessageKind:
			if wanted := f.Name() == "destination" || f.Name() == "port" || f.Name() == "source" || f.Name() == "operation"; wanted && depth < 3 {
				fill(m.Mutable(f).Message(), i, depth+1)
			}
		case f.Name() == "exact", f.Name() == "prefix", f.Name() == "host", f.Name() == "name", f.Name() == "number", f.Name() == "address", f.Name() == "key",
			f.Name() == "issuer", f.Name() == "jwks", f.Name() == "protocol", f.Name() == "weight" && f.Kind() == protoreflect.Int32Kind:
			m.Set(f, scalar(f, i))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor, i int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(textOf(string(f.Name()), i))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(1 + i%60_000))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(i))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(i))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(0).Number())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(i)})
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	}
	return f.Default()
}

func textOf(field string, i int) string {
	switch field {
	case "address", "addresses", "ip_blocks", "not_ip_blocks", "remote_ip_blocks", "not_remote_ip_blocks", "destination_subnets":
		return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
	case "host", "hosts", "sni_hosts":
		return fmt.Sprintf("h%d.evil.example", i)
	case "exact", "prefix":
		return fmt.Sprintf("/p%d", i)
	case "protocol":
		return "HTTP"
	case "key":
		return fmt.Sprintf("request.headers[x%d]", i)
	case "jwks":
		return `{"keys":[]}`
	case "export_to":
		return fmt.Sprintf("n%d", i)
	}
	return fmt.Sprintf("n%d", i)
}

// complete gives the object what it is of no use without.
func complete(spec proto.Message) {
	switch s := spec.(type) {
	case *networking.VirtualService:
		if len(s.Hosts) == 0 {
			s.Hosts = []string{"h0.evil.example"}
		}
		to := []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "h0.evil.example"}}}
		if len(s.Http) == 0 {
			s.Http = []*networking.HTTPRoute{{Route: to}}
		}
		for _, r := range s.Http {
			if len(r.Route) == 0 && r.Redirect == nil && r.DirectResponse == nil && r.Delegate == nil {
				r.Route = to
			}
		}
		l4 := []*networking.RouteDestination{{Destination: to[0].Destination}}
		for _, r := range s.Tcp {
			if len(r.Route) == 0 {
				r.Route = l4
			}
		}
		for _, r := range s.Tls {
			if len(r.Route) == 0 {
				r.Route = l4
			}
		}
	case *networking.ServiceEntry:
		if len(s.Hosts) == 0 {
			s.Hosts = []string{"h0.evil.example"}
		}
		if len(s.Ports) == 0 {
			s.Ports = []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}
		}
	case *networking.Gateway:
		if len(s.Servers) == 0 {
			s.Servers = []*networking.Server{{}}
		}
		for _, v := range s.Servers {
			if v.Port == nil {
				v.Port = &networking.Port{Number: 80, Name: "http", Protocol: "HTTP"}
			}
			if len(v.Hosts) == 0 {
				v.Hosts = []string{"*"}
			}
		}
	}
}

// objectOf is an object whose fields are so long, and its size in bytes.
func objectOf(g grown, n int, paths ...path) (mesh.Change, int) {
	o, spec := g.make()
	for _, p := range paths {
		grow(spec.ProtoReflect(), p, n)
	}
	complete(spec)
	return mesh.Change{Ref: object.Ref{Kind: g.kind, Namespace: "evil", Name: "large"}, Object: o}, proto.Size(spec)
}

// work is how many bytes it allocates to check an object, to take it into a mesh that has
// the host that it is about, and to translate what it says of its hosts.
func work(t *testing.T, c mesh.Change) uint64 {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: "s"}}
	service.Spec.ClusterIP, service.Spec.Ports = "10.96.0.1", []corev1.ServicePort{{Name: "http", Port: 80}}
	host := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: "host"}}
	host.Spec.Hosts, host.Spec.Resolution = []string{"h0.evil.example"}, networking.ServiceEntry_STATIC
	host.Spec.Ports = []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}, {Number: 81, Name: "tcp", Protocol: "TCP"}}
	host.Spec.Endpoints = []*networking.WorkloadEntry{{Address: "10.0.0.1"}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	Object(t.Context(), c, nil)
	w := mesh.Build([]mesh.Change{
		{Ref: object.Ref{Kind: object.KindService, Namespace: "evil", Name: "s"}, Object: service},
		{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "evil", Name: "host"}, Object: host}, c,
	})
	view := w.View(mesh.Scope{Role: mesh.RoleSidecar, Namespace: "evil"})
	for name := range w.Hosts() {
		plan := translate.ResolveHost(view, name)
		for _, in := range plan.VirtualHosts {
			translate.VirtualHost(in)
		}
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The largest object that an API server stores; and what is allowed for one whose fields
// multiply, within the bounds that mesh.Limits sets.
const (
	largestObject = 1_500_000
	mostWork      = 400 << 20
)

// TestWorkIsLinear: whatever repeated field is made long, four times the length takes
// about four times the work; two of them together stay below a bound.
func TestWorkIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("counts what is allocated, to which the race detector adds; not with -short")
	}
	// What is counted is what is allocated: collections add nothing to that but time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, g := range grownKinds {
		_, spec := g.make()
		paths := repeated(spec.ProtoReflect().Descriptor(), nil)
		if len(paths) == 0 {
			t.Errorf("%s has no repeated fields", g.kind)
		}
		for _, p := range paths {
			for _, n := range []int{300, 4000} {
				small, _ := objectOf(g, n, p)
				large, size := objectOf(g, 4*n, p)
				if size > largestObject {
					continue
				}
				a, b := work(t, small), work(t, large)
				if b > 6*a+4<<20 {
					t.Errorf("%s %s: %d bytes for %d elements, %d for %d", g.kind, p, a, n, b, 4*n)
				}
			}
		}
		for range min(20, len(paths)*len(paths)) {
			p, q := paths[random.IntN(len(paths))], paths[random.IntN(len(paths))]
			for _, n := range []int{100, 1000, 8000} {
				both, size := objectOf(g, n, p, q)
				if size > largestObject {
					break
				}
				if b := work(t, both); b > mostWork {
					t.Errorf("%s %s and %s of %d elements: %d bytes for an object of %d", g.kind, p, q, n, b, size)
				}
			}
		}
	}
}
