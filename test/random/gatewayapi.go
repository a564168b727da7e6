package random

import (
	"reflect"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// GatewayKinds are those of the Kubernetes Gateway API.
var GatewayKinds = []object.Kind{object.KindGatewayClass, object.KindKubeGateway, object.KindHTTPRoute, object.KindGRPCRoute, object.KindTLSRoute, object.KindTCPRoute, object.KindReferenceGrant, object.KindBackendTLSPolicy, object.KindListenerSet}

// gatewayAPI is a random object of the Kubernetes Gateway API; nil for another kind.
func (s *Source) gatewayAPI(ref object.Ref) Object {
	switch ref.Kind {
	case object.KindGatewayClass:
		o := &gatewayv1.GatewayClass{}
		s.fields("GatewayClassSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindKubeGateway:
		o := &gatewayv1.Gateway{}
		s.fields("GatewaySpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindHTTPRoute:
		o := &gatewayv1.HTTPRoute{}
		s.fields("HTTPRouteSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindGRPCRoute:
		o := &gatewayv1.GRPCRoute{}
		s.fields("GRPCRouteSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindTLSRoute:
		o := &gatewayv1.TLSRoute{}
		s.fields("TLSRouteSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindTCPRoute:
		o := &gatewayv1.TCPRoute{}
		s.fields("TCPRouteSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindBackendTLSPolicy:
		o := &gatewayv1.BackendTLSPolicy{}
		s.fields("BackendTLSPolicySpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindListenerSet:
		o := &gatewayv1.ListenerSet{}
		s.fields("ListenerSetSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	case object.KindReferenceGrant:
		o := &gatewayv1.ReferenceGrant{}
		s.fields("ReferenceGrantSpec", reflect.ValueOf(&o.Spec).Elem(), deep)
		return o
	}
	return nil
}

// gatewayWords are what texts of the Gateway API hold, by the name of their
// Go type, else by that of the field.
var gatewayWords = map[string][]string{
	"Group":                       {"", "gateway.networking.k8s.io", "core", "example.com"},
	"Kind":                        {"Service", "Gateway", "Secret", "ConfigMap", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"},
	"SectionName":                 {"http", "https", "r1", "nonsense"},
	"ProtocolType":                {"HTTP", "HTTP", "HTTPS", "TLS", "TCP", "UDP", "nonsense"},
	"HTTPRouteFilterType":         {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "RequestMirror", "CORS", "ExtensionRef"},
	"GRPCRouteFilterType":         {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"},
	"PathMatchType":               {"Exact", "PathPrefix", "RegularExpression"},
	"HeaderMatchType":             {"Exact", "RegularExpression"},
	"GRPCHeaderMatchType":         {"Exact", "RegularExpression"},
	"QueryParamMatchType":         {"Exact", "RegularExpression"},
	"GRPCMethodMatchType":         {"Exact", "RegularExpression"},
	"HTTPPathModifierType":        {"ReplaceFullPath", "ReplacePrefixMatch"},
	"TLSModeType":                 {"Terminate", "Passthrough"},
	"FromNamespaces":              {"All", "Same", "Selector", "None"},
	"AddressType":                 {"IPAddress", "Hostname", "NamedAddress"},
	"HTTPMethod":                  {"GET", "POST", "OPTIONS"},
	"SubjectAltNameType":          {"Hostname", "URI"},
	"WellKnownCACertificatesType": {"System", "System", "a.example/b"},
	"Duration":                    {"1s", "100ms", "0s", "1h30m", "nonsense"},
	"HTTPHeaderName":              {"x-a", "X-B", "cookie", "host", ":path"},
	"HeaderName":                  {"x-a", "X-B", "content-length"},
	"GRPCHeaderName":              {"x-a", "X-B"},
	"GatewayController":           {gatewayapi.FairwayController, gatewayapi.IstioController, "example.com/other"},
	"SessionPersistenceType":      {"Cookie", "Header"},
	"CookieLifetimeType":          {"Permanent", "Session"},
	"AnnotationKey":               {"a.example/b"},
	"LabelKey":                    {"app"},
	"CORSOrigin":                  {"*", "https://a.example", "https://*.example.com"},
	"gatewayClassName":            {"fairway", "istio", "other"},
	"scheme":                      {"http", "https"},
	"FrontendValidationModeType":  {"AllowValidOnly", "AllowInsecureFallback"},
}

// fields gives the fields of a struct values, nested depth deep.
func (s *Source) fields(owner string, v reflect.Value, depth int) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			s.fields(owner, v.Field(i), depth)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		required := f.Type.Kind() != reflect.Pointer && f.Type.Kind() != reflect.Map || needed[snake(name)] || name == "parentRefs" || name == "backendRefs" || name == "rules" || name == "listeners"
		if required && !s.One(10) || !required && s.One(3) {
			s.value(owner, name, v.Field(i), depth)
		}
	}
}

// value gives one field a value.
func (s *Source) value(owner, field string, v reflect.Value, depth int) {
	if depth == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		s.value(owner, field, v.Elem(), depth)
	case reflect.Struct:
		s.fields(v.Type().Name(), v, depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+s.N(2), 3))
		for i := range v.Len() {
			s.value(owner, field, v.Index(i), depth)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		if v.Type().Key().Kind() == reflect.String && v.Type().Elem().Kind() == reflect.String {
			v.SetMapIndex(reflect.ValueOf(s.text(owner, snake(field), true)).Convert(v.Type().Key()), reflect.ValueOf(s.text(owner, snake(field), false)).Convert(v.Type().Elem()))
		}
	case reflect.String:
		v.SetString(s.word(owner, field, v.Type().Name()))
	case reflect.Bool:
		v.SetBool(s.One(2))
	case reflect.Int, reflect.Int32, reflect.Int64:
		of, ok := numbers[field]
		if !ok {
			of = numbers[""]
		}
		v.SetInt(int64(int32(pick(s.Choices, of...))))
	}
}

func (s *Source) word(owner, field, of string) string {
	if s.One(40) {
		return pick(s.Choices, awkward...)
	}
	for _, k := range []string{of, field} {
		if l, ok := gatewayWords[k]; ok {
			return pick(s.Choices, l...)
		}
	}
	return s.text(owner, snake(field), false)
}

// snake is a name of JSON as protobuf writes it.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// named gives an object its metadata.
func named(o Object, ref object.Ref, created metav1.Time) Object {
	o.SetNamespace(ref.Namespace)
	o.SetName(ref.Name)
	o.SetCreationTimestamp(created)
	return o
}
