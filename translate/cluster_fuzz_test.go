package translate

import (
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// FuzzPolicies: whatever a policy says, checked or not, and whatever the client
// is, the cluster and its endpoints are valid to Envoy and always the same.
func FuzzPolicies(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"loadBalancer":{"consistentHash":{"httpHeaderName":"a","maglev":{"tableSize":4}}},"tls":{"mode":"SIMPLE"}}`,
		`{"loadBalancer":{"simple":"PASSTHROUGH","warmup":{"duration":"-1s","minimumPercent":900,"aggression":-1}},"proxyProtocol":{"version":"V2"}}`,
		`{"loadBalancer":{"localityLbSetting":{"distribute":[{"from":"r1/*","to":{"r1/z1":4294967295,"*":1}}]}},"connectionPool":{"tcp":{"connectTimeout":"-5s","maxConnections":-1}}}`,
		`{"outlierDetection":{"interval":"0s","baseEjectionTime":"-1s","maxEjectionPercent":1000,"minHealthPercent":-2,"consecutive5xxErrors":0,"outlierDetectionHttpErrorCodes":[0,1000]}}`,
		`{"retryBudget":{"percent":"NaN","budgetInterval":"-1s"},"connectionPool":{"http":{"http2KeepAlive":{"interval":"0.0000001s"},"maxRequestsPerConnection":-1,"idleTimeout":"-1s"}}}`,
		`{"outlierDetection":{},"loadBalancer":{"localityLbSetting":{"failoverPriority":["","=","a=b=c"]}},"portLevelSettings":[{"port":{"number":80},"tls":{"mode":"MUTUAL","credentialName":"c"}}]}`,
	} {
		f.Add([]byte(seed), uint8(1), uint8(0), "r1/z1")
	}
	f.Fuzz(func(t *testing.T, text []byte, protocol, resolution uint8, locality string) {
		p := &networking.TrafficPolicy{}
		if err := protojson.Unmarshal(text, p); err != nil {
			t.Skip()
		}
		in := inputOf(p, object.Protocol(protocol%12), registry.Resolution(resolution%6), protocol%2 == 0, locality)
		before := proto.Clone(p)
		c, _ := Cluster(in, nil)
		again, _ := Cluster(in, nil)
		e := Endpoints(in.endpointsInput())
		if !proto.Equal(before, p) {
			t.Fatal("the policy was changed")
		}
		if !proto.Equal(c, again) || !proto.Equal(e, Endpoints(in.endpointsInput())) {
			t.Fatal("the same input gave two outputs")
		}
		mustBeValid(t, c)
		mustBeValid(t, e)
	})
}

// TestRandomPolicies makes policies of the API's own fields, with values that
// nobody means, more deeply than random bytes do.
func TestRandomPolicies(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := &networking.TrafficPolicy{}
		randomMessage(r, p.ProtoReflect(), 5)
		sockets := NewSockets()
		for _, router := range []bool{false, true} {
			in := randomInput(r, p, router)
			c, _ := Cluster(in, sockets)
			if alone, _ := Cluster(in, nil); !proto.Equal(alone, c) {
				t.Errorf("the cluster is another when its settings are shared: %v, alone %v", c, alone)
			}
			mustBeValid(t, c)
			mustBeValid(t, Endpoints(in.endpointsInput()))
			if t.Failed() {
				t.Fatalf("seed %d: %s", seed, asYAML(t, p))
			}
		}
	}
}

// mustBeValid checks the message and all messages in it, packed ones too.
func mustBeValid(t testing.TB, m proto.Message) {
	t.Helper()
	if v, ok := m.(validated); ok {
		if err := v.ValidateAll(); err != nil {
			t.Errorf("%v\n%s", err, asYAML(t, m))
			return
		}
	}
	err := protorange.Range(m.ProtoReflect(), func(v protopath.Values) error {
		message, ok := v.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		if a, ok := message.Interface().(*anypb.Any); ok {
			inner, err := a.UnmarshalNew()
			if err != nil {
				return err
			}
			mustBeValid(t, inner)
			return protorange.Break
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// inputOf is a service with two endpoints under the policy.
func inputOf(p *networking.TrafficPolicy, protocol object.Protocol, resolution registry.Resolution, router bool, zone string) ClusterInput {
	l := registry.Locality{Region: "r1", Zone: zone}
	service := &registry.Service{
		Host: "a.example.com", Name: "a", Namespace: "b", Resolution: resolution,
		Ports: []registry.Port{{Number: 80, Target: 8080, Protocol: protocol}},
	}
	w := &registry.Workload{Namespace: "b", Owner: "a", MutualTLS: true, ServiceAccount: "c", Locality: l}
	endpoints := &registry.EndpointSet{Identities: "ns/b/sa/c", MutualTLS: true, Endpoints: []registry.Endpoint{
		{Workload: w, Address: "192.0.2.1", Ports: []uint32{8080}, Healthy: true, Locality: l},
		{Workload: &registry.Workload{Hostname: "b.example.com"}, Address: "b.example.com", Ports: []uint32{80}, Weight: 5},
	}}
	config := mesh.DefaultConfig()
	config.DefaultTrafficPolicy = &meshconfig.MeshConfig_DefaultTrafficPolicy{ConnectionPool: p.ConnectionPool}
	return ClusterInput{
		Service: service, Port: 80, Rule: &traffic.DestinationRule{Refs: []object.Ref{{Name: "r"}}, Policy: p}, Config: config,
		Router: router, Identities: endpoints.Identities, MutualTLS: true, Endpoints: endpoints, Client: Client{Locality: l, Labels: "a=b"},
	}
}

func randomInput(r *rand.Rand, p *networking.TrafficPolicy, router bool) ClusterInput {
	return inputOf(p, object.Protocol(r.IntN(12)), registry.Resolution(r.IntN(6)), router, "z1")
}

// randomMessage sets fields of the message at random.
func randomMessage(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(2) == 0 || f.Message() != nil && depth == 0 {
			continue
		}
		switch {
		case f.IsMap():
			to := m.Mutable(f).Map()
			for range r.IntN(3) {
				to.Set(randomScalar(r, f.MapKey()).MapKey(), randomScalar(r, f.MapValue()))
			}
		case f.IsList():
			for l := m.Mutable(f).List(); l.Len() < r.IntN(4); {
				if f.Message() == nil {
					l.Append(randomScalar(r, f))
					continue
				}
				randomMessage(r, l.AppendMutable().Message(), depth-1)
			}
		case f.Message() != nil:
			randomMessage(r, m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, randomScalar(r, f))
		}
	}
}

func randomScalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	ints := []int64{0, 1, 2, -1, 80, 99, 101, 1009, math.MaxInt32, math.MinInt32}
	n := ints[r.IntN(len(ints))]
	texts := []string{"", "a", "r1", "r1/z1", "*", "r1/*", "version=v1", "=", "spiffe://a/b", "192.0.2.1", "system"}
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 0)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{0, 1, 50, -1, 1000, math.NaN(), math.Inf(1)}[r.IntN(7)])
	}
	return protoreflect.ValueOfString(texts[r.IntN(len(texts))])
}
