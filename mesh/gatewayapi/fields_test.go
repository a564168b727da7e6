package gatewayapi

import (
	"iter"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/anyfield"
)

// TestRulesOfRoutesKeepTheirFields: whatever a rule of a route says is in each of the rules
// that are made of it, and so is whatever a match says.
func TestRulesOfRoutesKeepTheirFields(t *testing.T) {
	w := &View{Index: &Index{}}
	port := gatewayv1.PortNumber(80)
	backend := Backend{weight: 1, ref: gatewayv1.BackendObjectReference{Name: "web", Port: &port}}
	made := []string{"match", "route", "mirrors", "direct_response"} // of what else the rule has
	for f := range eachField(&networking.HTTPRoute{}) {
		if slices.Contains(made, string(f.Name())) {
			continue
		}
		rule := httpRule{served: &networking.HTTPRoute{}, backends: []Backend{backend}}
		anyfield.Set(rule.served.ProtoReflect(), f)
		out := w.httpRule(object.Ref{Kind: object.KindHTTPRoute, Namespace: "a", Name: "r"}, rule, &networking.HTTPMatchRequest{}, false)
		if !out.ProtoReflect().Has(f) || !out.ProtoReflect().Get(f).Equal(rule.served.ProtoReflect().Get(f)) {
			t.Errorf("%s is lost: %v", f.Name(), out)
		}
	}
	for f := range eachField(&networking.HTTPMatchRequest{}) {
		m := &networking.HTTPMatchRequest{}
		anyfield.Set(m.ProtoReflect(), f)
		out := onPort(m, 8080)
		want := proto.CloneOf(m)
		want.Port = 8080
		if !proto.Equal(out, want) {
			t.Errorf("%s of a match is lost: %v", f.Name(), out)
		}
	}
}

// eachField yields the fields of a message.
func eachField(m proto.Message) iter.Seq[protoreflect.FieldDescriptor] {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if !yield(fields.Get(i)) {
				return
			}
		}
	}
}

// TestFiltersOfGRPCRoutesKeepTheirFields: all that a filter of a GRPCRoute can say is read
// as what the filter of an HTTPRoute says by that name.
func TestFiltersOfGRPCRoutesKeepTheirFields(t *testing.T) {
	of := reflect.TypeFor[gatewayv1.GRPCRouteFilter]()
	for i := range of.NumField() {
		var in gatewayv1.GRPCRouteFilter
		switch v := reflect.ValueOf(&in).Elem().Field(i); v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		default:
			v.SetString("a")
		}
		out := reflect.ValueOf(asHTTPFilters([]gatewayv1.GRPCRouteFilter{in})[0]).FieldByName(of.Field(i).Name)
		if !out.IsValid() || out.IsZero() {
			t.Errorf("%s is lost", of.Field(i).Name)
		}
	}
}
