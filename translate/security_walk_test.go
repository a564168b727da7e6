package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	securityapi "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/security"
)

// defect is one thing that is wrong with a message: a field that is missing, empty or has
// a value that means nothing there.
type defect struct {
	field, how string
	message    proto.Message
}

// defects are those of all fields of a message that guards something, down to those of
// the messages in it.
func defects(base proto.Message) (out []defect) {
	var walk func(path string, steps []func(protoreflect.Message) protoreflect.Message, m protoreflect.Message)
	walk = func(path string, steps []func(protoreflect.Message) protoreflect.Message, m protoreflect.Message) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			at := strings.TrimPrefix(path+"."+fd.JSONName(), ".")
			add := func(how string, change func(protoreflect.Message)) {
				c := proto.Clone(base)
				r := c.ProtoReflect()
				for _, s := range steps {
					r = s(r)
				}
				change(r)
				if !proto.Equal(c, base) {
					out = append(out, defect{at, how, c})
				}
			}
			add("missing", func(r protoreflect.Message) { r.Clear(fd) })
			var values []protoreflect.Value
			switch fd.Kind() {
			case protoreflect.StringKind:
				for _, s := range []string{"", " ", "none", "*"} {
					values = append(values, protoreflect.ValueOfString(s))
				}
			case protoreflect.EnumKind:
				for n := range fd.Enum().Values().Len() {
					values = append(values, protoreflect.ValueOfEnum(fd.Enum().Values().Get(n).Number()))
				}
				values = append(values, protoreflect.ValueOfEnum(99))
			case protoreflect.BoolKind:
				values = append(values, protoreflect.ValueOfBool(true), protoreflect.ValueOfBool(false))
			case protoreflect.Uint32Kind:
				values = append(values, protoreflect.ValueOfUint32(0), protoreflect.ValueOfUint32(70_000))
			}
			for _, v := range values {
				switch {
				case fd.IsList():
					add(fmt.Sprintf("is [%q]", v), func(r protoreflect.Message) { r.Clear(fd); r.Mutable(fd).List().Append(v) })
					add(fmt.Sprintf("has %q too", v), func(r protoreflect.Message) { r.Mutable(fd).List().Append(v) })
				case !fd.IsMap():
					add(fmt.Sprintf("is %q", v), func(r protoreflect.Message) { r.Set(fd, v) })
				}
			}
			if fd.Message() == nil || fd.IsMap() {
				continue
			}
			if fd.IsList() {
				add("has an empty one too", func(r protoreflect.Message) { r.Mutable(fd).List().AppendMutable() })
				for n := range m.Get(fd).List().Len() {
					walk(fmt.Sprintf("%s[%d]", at, n), append(slices.Clone(steps), func(r protoreflect.Message) protoreflect.Message { return r.Mutable(fd).List().Get(n).Message() }), m.Get(fd).List().Get(n).Message())
				}
				continue
			}
			add("is empty", func(r protoreflect.Message) { r.Clear(fd); r.Mutable(fd) })
			if fd.Message().FullName() == "google.protobuf.BoolValue" {
				add("is true", func(r protoreflect.Message) {
					b := r.Mutable(fd).Message()
					b.Set(b.Descriptor().Fields().ByName("value"), protoreflect.ValueOfBool(true))
				})
			} else if m.Has(fd) {
				walk(at, append(slices.Clone(steps), func(r protoreflect.Message) protoreflect.Message { return r.Mutable(fd).Message() }), m.Get(fd).Message())
			}
		}
	}
	walk("", nil, base.ProtoReflect())
	return out
}

// demands are what must be so that a peer is let in; nil lets in nobody.
type demands map[string]bool

// looser are the demands of before that are not among those of after.
func (d demands) looser(after demands) (out []string) {
	if after == nil {
		return nil
	}
	for what := range d {
		if !after[what] {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

func validationOf(c *tlsv3.CommonTlsContext) demands {
	d := demands{}
	v := c.GetCombinedValidationContext().GetDefaultValidationContext()
	if v == nil {
		v = c.GetValidationContext()
	}
	if (c.GetCombinedValidationContext() != nil || v.GetTrustedCa() != nil) && v.GetTrustChainVerification() == tlsv3.CertificateValidationContext_VERIFY_TRUST_CHAIN {
		d["a certificate of an authority"] = true
	}
	if len(v.GetMatchTypedSubjectAltNames()) > 0 {
		d["one of the names"] = true
	}
	if len(v.GetVerifyCertificateHash()) > 0 {
		d["one of the hashes"] = true
	}
	if len(v.GetVerifyCertificateSpki()) > 0 {
		d["one of the keys"] = true
	}
	return d
}

// says tells whether a message that says less, in place of what a defect is about, is whole:
// it then means what it says.
func says(d defect, fields ...string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		field, how, _ := strings.Cut(f, " ")
		return d.field == field && (how == "" || strings.HasPrefix(d.how, how))
	})
}

// TestNoDefectOfAServerLetsIn: whatever is wrong with the TLS settings of a Gateway's server,
// no client is let in that they would stop without it.
func TestNoDefectOfAServerLetsIn(t *testing.T) {
	hash, key := strings.Repeat("ab", 32), strings.Repeat("A", 43)+"="
	mutual := func(f func(*networking.ServerTLSSettings)) *networking.ServerTLSSettings {
		t := &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL}
		f(t)
		return t
	}
	bases := []*networking.ServerTLSSettings{
		mutual(func(t *networking.ServerTLSSettings) { t.CredentialName = "c" }),
		mutual(func(t *networking.ServerTLSSettings) { t.CredentialNames = []string{"c"} }),
		mutual(func(t *networking.ServerTLSSettings) { t.CredentialName, t.SubjectAltNames = "c", []string{"a"} }),
		mutual(func(t *networking.ServerTLSSettings) {
			t.CredentialName, t.CaCertCredentialName, t.VerifyCertificateHash = "c", "d", []string{hash}
		}),
		mutual(func(t *networking.ServerTLSSettings) {
			t.ServerCertificate, t.PrivateKey, t.CaCertificates, t.CaCrl, t.VerifyCertificateSpki = "/c", "/k", "/a", "/r", []string{key}
		}),
		mutual(func(t *networking.ServerTLSSettings) {
			t.Mode, t.SubjectAltNames = networking.ServerTLSSettings_ISTIO_MUTUAL, []string{"spiffe://cluster.local/ns/a/sa/b"}
		}),
	}
	of := func(port *networking.Port, tls *networking.ServerTLSSettings) demands {
		g := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "g"}}
		g.Spec.Servers = []*networking.Server{{Port: port, Hosts: []string{"a.example"}, Tls: tls}}
		w := worldOf(t, []mesh.Change{{Ref: object.Ref{Kind: object.KindGateway, Namespace: "a", Name: "g"}, Object: g}})
		servers := w.Gateway("a/g").Servers
		if len(servers) == 0 {
			return nil
		}
		switch servers[0].Spec.Tls.GetMode() {
		case networking.ServerTLSSettings_AUTO_PASSTHROUGH:
			return nil
		case networking.ServerTLSSettings_PASSTHROUGH:
			return demands{}
		}
		socket, _, problem := serverSocket(w.Config, servers[0], "a")
		if problem != "" {
			return nil
		}
		var down tlsv3.DownstreamTlsContext
		if err := socket.GetTypedConfig().UnmarshalTo(&down); err != nil {
			t.Fatal(err)
		}
		d := validationOf(down.CommonTlsContext)
		if down.RequireClientCertificate.GetValue() {
			d["a certificate"] = true
		}
		if tls.GetCaCrl() != "" && len(credentialNames(tls)) == 0 && verifiesClients(tls) {
			d["a certificate that is not revoked"] = true
		}
		return d
	}
	walked := map[string]bool{}
	for i, base := range bases {
		port := &networking.Port{Number: 443, Name: "https", Protocol: "HTTPS"}
		want := of(port, base)
		if len(want) < 2 {
			t.Fatalf("%v demands %v", base, slices.Collect(maps.Keys(want)))
		}
		for _, d := range defects(base) {
			walked[d.field] = true
			bad := want.looser(of(port, d.message.(*networking.ServerTLSSettings)))
			if len(bad) == 0 || says(d, "subjectAltNames missing", "verifyCertificateHash missing", "verifyCertificateSpki missing", "caCrl missing", `caCrl is ""`) {
				continue
			}
			if len(want) == 2 && says(d, "mode is") && d.message.(*networking.ServerTLSSettings).Mode != 0 { // another mode, by name
				continue
			}
			if d.message.(*networking.ServerTLSSettings).Mode == networking.ServerTLSSettings_OPTIONAL_MUTUAL && slices.Equal(bad, []string{"a certificate"}) {
				continue
			}
			if d.field == "insecureSkipVerify" && d.how == "is true" && len(want) == 2 { // in so many words
				continue
			}
			t.Errorf("%d: %s %s: clients need no more %s", i, d.field, d.how, strings.Join(bad, ", "))
		}
		for _, protocol := range []string{"HTTP", "HTTP2", "GRPC", "TCP", "", "none"} {
			if d := of(&networking.Port{Number: 443, Name: "x", Protocol: protocol}, base); d != nil {
				t.Errorf("%d: with protocol %q the server is served", i, protocol)
			}
		}
	}
	if len(walked) < 15 {
		t.Errorf("hardly any fields were walked: %v", walked)
	}
}

// TestNoDefectOfARuleTrustsMore: whatever is wrong with the TLS settings of a
// DestinationRule, no server is trusted that they would not trust without it.
func TestNoDefectOfARuleTrustsMore(t *testing.T) {
	simple := networking.ClientTLSSettings_SIMPLE
	bases := []*networking.ClientTLSSettings{
		{Mode: simple},
		{Mode: simple, CaCertificates: "/a"},
		{Mode: simple, CaCertificates: "/a", CaCrl: "/r", SubjectAltNames: []string{"a"}, Sni: "a"},
		{Mode: simple, CredentialName: "c", SubjectAltNames: []string{"a"}},
		{Mode: networking.ClientTLSSettings_MUTUAL, ClientCertificate: "/c", PrivateKey: "/k", CaCertificates: "/a", SubjectAltNames: []string{"a"}},
		{Mode: networking.ClientTLSSettings_MUTUAL, CredentialName: "c", SubjectAltNames: []string{"a"}},
		{Mode: networking.ClientTLSSettings_ISTIO_MUTUAL, SubjectAltNames: []string{"spiffe://cluster.local/ns/a/sa/b"}},
	}
	// of is what is demanded of the servers of a policy on port 443, which it names so often.
	of := func(policy *networking.TrafficPolicy) demands {
		r := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r"}}
		r.Spec.Host, r.Spec.TrafficPolicy = "a.example", policy
		e := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "e"}}
		e.Spec.Hosts, e.Spec.Resolution = []string{"a.example"}, networking.ServiceEntry_DNS
		e.Spec.Ports = []*networking.ServicePort{{Number: 443, Name: "http", Protocol: "HTTP"}}
		w := worldOf(t, []mesh.Change{{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "a", Name: "r"}, Object: r}, {Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "e"}, Object: e}})
		out := demands(nil)
		for _, role := range []mesh.Role{mesh.RoleSidecar, mesh.RoleRouter} {
			c, _ := Cluster(ResolveDestination(w.View(mesh.Scope{Role: role, Namespace: "a"}), "a.example")[0], nil)
			d := demands{}
			if c.TransportSocket != nil {
				var up tlsv3.UpstreamTlsContext
				if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(&up); err != nil {
					t.Fatal(err)
				}
				d = validationOf(up.CommonTlsContext)
				d["TLS"] = true
			}
			if out == nil {
				out = d
				continue
			}
			maps.DeleteFunc(out, func(what string, _ bool) bool { return !d[what] })
		}
		return out
	}
	walked := 0
	for i, base := range bases {
		want := of(&networking.TrafficPolicy{Tls: base})
		if len(want) < 2 {
			t.Fatalf("%v demands %v", base, slices.Collect(maps.Keys(want)))
		}
		check := func(field, how string, policy *networking.TrafficPolicy) {
			walked++
			if bad := want.looser(of(policy)); len(bad) > 0 {
				t.Errorf("%d: %s %s: servers need no more %s", i, field, how, strings.Join(bad, ", "))
			}
		}
		port := func(n uint32, tls *networking.ClientTLSSettings) *networking.TrafficPolicy_PortTrafficPolicy {
			return &networking.TrafficPolicy_PortTrafficPolicy{Port: &networking.PortSelector{Number: n}, Tls: tls}
		}
		for _, d := range defects(base) {
			tls := d.message.(*networking.ClientTLSSettings)
			switch plain := len(base.CaCertificates)+len(base.SubjectAltNames)+len(base.CredentialName) == 0; {
			case says(d, "subjectAltNames missing"): // says less, and means it
			case d.field == "mode" && plain && (tls.Mode == 0 || d.how == "missing"): // plaintext, in so many words
			case d.field == "insecureSkipVerify" && d.how == "is true" && (plain || len(want) == 2):
			default:
				check(d.field, d.how, &networking.TrafficPolicy{Tls: tls})
				check("of a port: "+d.field, d.how, &networking.TrafficPolicy{PortLevelSettings: []*networking.TrafficPolicy_PortTrafficPolicy{port(443, tls)}})
			}
		}
		none := &networking.TrafficPolicy_PortTrafficPolicy{Tls: base}
		for how, list := range map[string][]*networking.TrafficPolicy_PortTrafficPolicy{
			"missing": {none}, "0": {port(0, base)}, "70000": {port(70_000, base)}, "missing, after an entry without TLS": {port(443, nil), none},
			"missing, before an entry without TLS": {none, port(443, nil)}, "given twice": {port(443, nil), port(443, base)},
		} {
			check("portLevelSettings.port", how, &networking.TrafficPolicy{PortLevelSettings: list})
		}
	}
	if walked < 300 {
		t.Errorf("only %d were walked", walked)
	}
}

// TestNoDefectOfAPeerAuthenticationOpens: whatever is wrong with a policy that asks for
// mutual TLS, its port takes no plaintext.
func TestNoDefectOfAPeerAuthenticationOpens(t *testing.T) {
	strict := func() *securityapi.PeerAuthentication_MutualTLS {
		return &securityapi.PeerAuthentication_MutualTLS{Mode: securityapi.PeerAuthentication_MutualTLS_STRICT}
	}
	selector := &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}
	x := &registry.Workload{Namespace: "a", Name: "web", Labels: map[string]string{"app": "web"}}
	mode := func(port uint32, spec *securityapi.PeerAuthentication) mesh.MutualTLS {
		o := &securityv1.PeerAuthentication{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
		proto.Merge(&o.Spec, spec)
		w := worldOf(t, []mesh.Change{{Ref: object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: "p"}, Object: o}})
		in, _ := w.InboundOf(x)
		for _, p := range in.Ports.Slice() {
			if p.Number == port {
				return p.MutualTLS
			}
		}
		return in.MutualTLS
	}
	for _, base := range []*securityapi.PeerAuthentication{
		{Selector: selector, Mtls: strict()},
		{Mtls: strict()},
		{Selector: selector, PortLevelMtls: map[uint32]*securityapi.PeerAuthentication_MutualTLS{80: strict()}},
		{Selector: selector, Mtls: strict(), PortLevelMtls: map[uint32]*securityapi.PeerAuthentication_MutualTLS{8080: {Mode: securityapi.PeerAuthentication_MutualTLS_DISABLE}}},
	} {
		for _, d := range append(defects(base), defect{"", "itself", base}) {
			p := d.message.(*securityapi.PeerAuthentication)
			m := p.GetMtls().GetMode()
			if says(d, "mtls", "mtls.mode") && (p.Mtls == nil || m < 3) { // inherits, or opens in so many words
				continue
			}
			if says(d, "portLevelMtls") {
				continue
			}
			if got := mode(80, p); got != mesh.Strict {
				t.Errorf("%v: %s %s: port 80 is %v", base, d.field, d.how, got)
			}
		}
	}
	for _, keys := range []uint32{0, 70_000} {
		p := &securityapi.PeerAuthentication{Selector: selector, Mtls: strict(), PortLevelMtls: map[uint32]*securityapi.PeerAuthentication_MutualTLS{keys: {Mode: securityapi.PeerAuthentication_MutualTLS_DISABLE}}}
		if got := mode(80, p); got != mesh.Strict {
			t.Errorf("with port %d in portLevelMtls port 80 is %v", keys, got)
		}
	}
}

// TestNoDefectOfAReferenceDetaches: a policy that denies is in force where a reference with
// a defect may have meant it.
func TestNoDefectOfAReferenceDetaches(t *testing.T) {
	service := mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "web"}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.1.1.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}}
	x := &registry.Workload{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "web"}, Namespace: "a", Name: "web",
		Labels: map[string]string{"app": "web", gatewayapi.GatewayNameLabel: "front"}}
	walked := 0
	for _, base := range []*typev1.PolicyTargetReference{
		{Kind: "Service", Name: "web"},
		{Kind: "Gateway", Group: "gateway.networking.k8s.io", Name: "front"},
	} {
		for _, d := range append(defects(base), defect{"", "itself", base}) {
			r := d.message.(*typev1.PolicyTargetReference)
			if d.field == "name" && r.Name == "none" || d.field == "kind" && r.Kind != "" && base.Kind == "Service" && r.Kind == "Gateway" { // another object's
				continue
			}
			for _, many := range []bool{false, true} {
				walked++
				o := &securityv1.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
				o.Spec.Action, o.Spec.Rules = securityapi.AuthorizationPolicy_DENY, []*securityapi.Rule{{}}
				if o.Spec.TargetRef = r; many {
					o.Spec.TargetRef, o.Spec.TargetRefs = nil, []*typev1.PolicyTargetReference{r}
				}
				w := worldOf(t, []mesh.Change{service, {Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}, Object: o}})
				if l := w.AuthorizationPoliciesOf(x); len(l) != 1 || l[0].Spec.Action != securityapi.AuthorizationPolicy_DENY || len(l[0].Spec.Rules) != 1 {
					t.Errorf("%v: %s %s: in force are %v", base, d.field, d.how, l)
				}
			}
		}
	}
	if walked < 40 {
		t.Errorf("only %d were walked", walked)
	}
}

// TestNoDefectOfATokenRuleAccepts: whatever is wrong with a rule for tokens, no token is good
// that would not be without it.
func TestNoDefectOfATokenRuleAccepts(t *testing.T) {
	const keys = `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0"}]}`
	of := func(rule *securityapi.JWTRule) demands {
		p := &mesh.RequestAuthentication{Spec: &securityapi.RequestAuthentication{JwtRules: []*securityapi.JWTRule{rule}}}
		out := security.JWTFilters(security.JWTInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()})
		if len(out.Filters) != 1 {
			return demands{}
		}
		var auth jwtv3.JwtAuthentication
		if err := out.Filters[0].GetTypedConfig().UnmarshalTo(&auth); err != nil {
			t.Fatal(err)
		}
		d := demands{"a good token": true}
		for _, p := range auth.Providers {
			if p.GetRemoteJwks() != nil && len(out.Clusters) == 0 { // nowhere to fetch keys from
				return nil
			}
			if p.GetRemoteJwks().GetHttpUri().GetCluster() == resource.BlackHoleCluster {
				return nil
			}
			d["the issuer"] = p.Issuer == rule.Issuer && strings.TrimSpace(p.Issuer) != ""
			d["an audience"] = len(p.Audiences) > 0
			if text := p.GetLocalJwks().GetInlineString(); text != "" {
				d["the keys"] = text == keys
			}
		}
		maps.DeleteFunc(d, func(_ string, demanded bool) bool { return !demanded })
		return d
	}
	base := &securityapi.JWTRule{Issuer: "https://issuer.example", Audiences: []string{"a"}, Jwks: keys, FromHeaders: []*securityapi.JWTHeader{{Name: "x-token", Prefix: "x "}}, FromParams: []string{"p"}, FromCookies: []string{"c"}}
	want := of(base)
	if len(want) != 4 {
		t.Fatalf("%v", want)
	}
	for _, d := range defects(base) {
		if says(d, "audiences missing", "jwks missing", "jwks is \"\"") { // any audience; keys of the issuer
			continue
		}
		if bad := want.looser(of(d.message.(*securityapi.JWTRule))); len(bad) > 0 {
			t.Errorf("%s %s: tokens need no more %s", d.field, d.how, strings.Join(bad, ", "))
		}
	}
}
