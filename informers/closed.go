package informers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	kjson "sigs.k8s.io/json"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// guards tells whether a field that is not understood may be what an object of the kind
// restricts by: then the object is not used without it.
func (k *kind) guards(field string) bool {
	switch k.mesh {
	case object.KindAuthorizationPolicy, object.KindRequestAuthentication, object.KindPeerAuthentication:
		return !strings.HasPrefix(field, "metadata.") && !strings.HasPrefix(field, "status")
	case object.KindDestinationRule, object.KindGateway:
		return strings.Contains(field, ".tls.")
	case object.KindKubeGateway: // of the Gateway itself: who its clients are
		return strings.HasPrefix(field, "spec.tls.")
	case object.KindBackendTLSPolicy:
		return strings.HasPrefix(field, "spec.validation.")
	}
	return false
}

// closed is what is in force of an object that cannot be read and that the mesh does not
// have yet: what keeps closed what it would close, wherever as much can be read of it. nil
// is nothing.
func (k *kind) closed(ref object.Ref, js []byte) kubeObject {
	var text struct {
		Metadata json.RawMessage            `json:"metadata"`
		Spec     map[string]json.RawMessage `json:"spec"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(js, &text) != nil {
		return nil
	}
	var meta metav1.ObjectMeta
	if CheckText(text.Metadata, MaxValues) == nil {
		_ = kjson.UnmarshalCaseSensitivePreserveInts(text.Metadata, &meta) // what cannot be read is left out
	}
	meta.Namespace, meta.Name = ref.Namespace, ref.Name
	var out kubeObject
	switch k.mesh {
	case object.KindAuthorizationPolicy: // ALLOW without rules
		o := &securityv1.AuthorizationPolicy{ObjectMeta: meta}
		readable(text.Spec, &o.Spec, "selector", "targetRef", "targetRefs")
		out = o
	case object.KindRequestAuthentication: // no token is good by a rule without keys
		o := &securityv1.RequestAuthentication{ObjectMeta: meta}
		readable(text.Spec, &o.Spec, "selector", "targetRef", "targetRefs")
		o.Spec.JwtRules = []*security.JWTRule{{}}
		out = o
	case object.KindPeerAuthentication:
		o := &securityv1.PeerAuthentication{ObjectMeta: meta}
		readable(text.Spec, &o.Spec, "selector")
		o.Spec.Mtls = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}
		out = o
	case object.KindBackendTLSPolicy: // without an authority, no server is good enough
		o := &gatewayv1.BackendTLSPolicy{ObjectMeta: meta}
		if targets := text.Spec["targetRefs"]; targets != nil && CheckText(targets, MaxValues) == nil {
			_ = kjson.UnmarshalCaseSensitivePreserveInts(targets, &o.Spec.TargetRefs) // what cannot be read is left out
		}
		out = o
	case object.KindDestinationRule:
		if CheckText(js, MaxValues) != nil {
			return nil
		}
		o := closedRule(text.Spec)
		if o == nil {
			return nil
		}
		o.ObjectMeta = meta
		out = o
	default:
		return nil
	}
	return out
}

// closedRule is the TLS of a DestinationRule; nil when it says nothing of it.
func closedRule(spec map[string]json.RawMessage) *networkingv1.DestinationRule {
	o := &networkingv1.DestinationRule{}
	readable(spec, &o.Spec, "host", "exportTo", "workloadSelector")
	var policy struct {
		TLS map[string]json.RawMessage `json:"tls"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(spec["trafficPolicy"], &policy) != nil || policy.TLS == nil || o.Spec.Host == "" {
		return nil
	}
	tls := &networking.ClientTLSSettings{}
	fields := make([]string, 0, len(policy.TLS))
	for name := range policy.TLS {
		if name != "insecureSkipVerify" {
			fields = append(fields, name)
		}
	}
	if lost := readable(policy.TLS, tls, fields...); lost["mode"] || tls.Mode == networking.ClientTLSSettings_DISABLE && len(lost) > 0 {
		tls.Mode = networking.ClientTLSSettings_SIMPLE
		if tls.ClientCertificate != "" {
			tls.Mode = networking.ClientTLSSettings_MUTUAL
		}
	} else if len(lost) > 0 && tls.Mode != networking.ClientTLSSettings_ISTIO_MUTUAL { // a name or an authority may be among them
		tls.SubjectAltNames = []string{traffic.NobodysName}
	}
	o.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: tls}
	return o
}

// readable reads those of the fields into a message that can be read, each by itself, and
// tells which cannot.
func readable(from map[string]json.RawMessage, into json.Unmarshaler, fields ...string) (lost map[string]bool) {
	lost = map[string]bool{}
	good := map[string]json.RawMessage{}
	for _, name := range fields {
		value, there := from[name]
		if !there {
			continue
		}
		good[name] = value
		if js, err := json.Marshal(good); err != nil || CheckText(value, MaxValues) != nil || !understood(js, into) {
			lost[name] = true
			delete(good, name)
		}
	}
	if js, err := json.Marshal(good); err == nil {
		_ = into.UnmarshalJSON(js) // it was read before
	}
	return lost
}

// understood tells whether the JSON is that of the message.
func understood(js []byte, m json.Unmarshaler) bool {
	p, ok := m.(interface{ Reset() })
	if !ok || m.UnmarshalJSON(js) != nil {
		return false
	}
	defer p.Reset()
	message, ok := m.(proto.Message)
	if !ok {
		return false
	}
	unknown, wrong := checkSpec([]byte(`{"spec":`+string(js)+`}`), message)
	return len(unknown) == 0 && wrong == nil
}

// said has JSON say what reading it would lose of what an object restricts by.
func (k *kind) said(js []byte) []byte {
	switch {
	case k.mesh == object.KindAuthorizationPolicy:
		return sayEmpty(js)
	case k.mesh == object.KindGateway && bytes.Contains(js, []byte(`PASSTHROUGH"`)):
		return sayPassthrough(js)
	}
	return js
}

// sayPassthrough gives servers of plain HTTP with TLS mode PASSTHROUGH a mode that leaves
// them out: read, they were as if they had said nothing of TLS, and open.
func sayPassthrough(js []byte) []byte {
	return rewritten(js, func(spec map[string]any) (changed bool) {
		servers, _ := spec["servers"].([]any)
		for _, s := range servers {
			server, _ := s.(map[string]any)
			tls, _ := server["tls"].(map[string]any)
			port, _ := server["port"].(map[string]any)
			name, _ := port["protocol"].(string)
			redirects, _ := tls["httpsRedirect"].(bool)
			if p, ok := object.ParseProtocol(name); ok && p.IsHTTP() && tls["mode"] == "PASSTHROUGH" && !redirects {
				tls["mode"], changed = "AUTO_PASSTHROUGH", true
			}
		}
		return changed
	})
}

// sayEmpty writes lists of the rules of an AuthorizationPolicy that are there and empty so
// that reading does not lose them: without them a rule would match more than it says.
func sayEmpty(js []byte) []byte {
	return rewritten(js, func(spec map[string]any) (changed bool) {
		rules, _ := spec["rules"].([]any)
		for _, r := range rules {
			rule, _ := r.(map[string]any)
			for name, v := range rule {
				l, isList := v.([]any)
				if isList && len(l) == 0 {
					rule[name], changed = []any{map[string]any{}}, true
				}
				for _, part := range l {
					changed = emptyTexts(part, 2) || changed
				}
			}
		}
		return changed
	})
}

// rewritten is the JSON of an object after its spec was changed; the very same when it was not.
func rewritten(js []byte, change func(spec map[string]any) bool) []byte {
	var o map[string]any
	if kjson.UnmarshalCaseSensitivePreserveInts(js, &o) != nil {
		return js
	}
	spec, _ := o["spec"].(map[string]any)
	if !change(spec) {
		return js
	}
	out, err := json.Marshal(o)
	if err != nil {
		return js
	}
	return out
}

// emptyTexts gives the empty lists of an object, and of those in it, an empty text.
func emptyTexts(v any, depth int) (changed bool) {
	o, _ := v.(map[string]any)
	for name, v := range o {
		if l, ok := v.([]any); ok && len(l) == 0 {
			o[name], changed = []any{""}, true
		} else if depth > 1 {
			changed = emptyTexts(v, depth-1) || changed
		}
	}
	return changed
}

const withheld = "unknown field: the object may restrict by it and is not used without it; this version of it is not in force, and a new object denies what it would guard: correct the field's name or its place (indentation), or take it out"

// defect is the first field of the findings that the kind cannot do without, as an error.
func (k *kind) defect(findings []object.Finding) error {
	for i, f := range findings {
		if f.Code == object.CodeUnknownField && f.Message == unknownField && k.guards(f.Field) {
			findings[i].Code, findings[i].Message = object.CodeInvalid, withheld
			return fmt.Errorf("field %s", f.Field)
		}
	}
	return nil
}
