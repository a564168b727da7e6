package check

import (
	"context"
	"strings"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
	"github.com/fairway-mesh/fairway/translate/security"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// Result is what was found.
type Result struct {
	// Invalid are reasons to refuse the object.
	Invalid []object.Finding
	// Warnings are what else its owner should know.
	Warnings []object.Finding

	known map[object.Finding]struct{} // all of them
}

// add sorts findings by what they are; each counts once.
func (r *Result) add(findings ...object.Finding) {
	if r.known == nil {
		r.known = map[object.Finding]struct{}{}
	}
	for _, f := range findings {
		if _, known := r.known[f]; known {
			continue
		}
		r.known[f] = struct{}{}
		if f.Code == object.CodeInvalid {
			r.Invalid = append(r.Invalid, f)
		} else {
			r.Warnings = append(r.Warnings, f)
		}
	}
}

// bound keeps what is said about an object within mesh.MaxFindings of each sort.
func (r *Result) bound() {
	r.Invalid, r.Warnings = object.BoundFindings(r.Invalid), object.BoundFindings(r.Warnings)
}

// Object checks one object, by itself and in the world that it is to join; nil
// is no world, then only by itself. When ctx ends it says what it has found until then.
func Object(ctx context.Context, o mesh.Change, w *mesh.World) Result {
	if w == nil {
		return checkObject(ctx, o, nil, mesh.DefaultConfig())
	}
	return checkObject(ctx, o, w.NamesOfOne(), w.Config)
}

// checkObject does so with the names of the world; nil is no world.
func checkObject(ctx context.Context, o mesh.Change, names *mesh.Names, config *mesh.Config) Result {
	var r Result
	r.add(mesh.Check(o.Ref, o.Object)...)
	if len(bounds.Check(o.Ref, o.Object)) > 0 {
		return r
	}
	if ctx.Err() == nil && hasOwnTranslation(o.Ref.Kind) {
		r.add(translated(ctx, mesh.Build([]mesh.Change{o}), o.Ref.Namespace, config)...)
	}
	if names != nil && ctx.Err() == nil {
		r.add(names.Check(ctx, o.Ref, o.Object)...)
	}
	r.bound()
	return r
}

// hasOwnTranslation tells whether a world of one object of the kind has what translated
// looks at.
func hasOwnTranslation(k object.Kind) bool {
	switch k {
	case object.KindGateway, object.KindAuthorizationPolicy, object.KindRequestAuthentication, object.KindTelemetry:
		return true
	}
	return strings.HasPrefix(string(k), gatewayAPI)
}

// translated is what translation finds in a world of one object.
func translated(ctx context.Context, alone *mesh.World, namespace string, config *mesh.Config) (out []object.Finding) {
	for _, g := range alone.Gateways() {
		out = append(out, translate.GatewayFindings(g, config)...)
	}
	if ctx.Err() != nil {
		return out
	}
	for _, p := range alone.AuthorizationPolicies.In(namespace) {
		_, findings := security.AuthorizationHTTP(security.AuthorizationInput{Policies: mesh.ListOf(p), Config: config})
		out = append(out, findings...)
	}
	for _, p := range alone.RequestAuthentications.In(namespace) {
		out = append(out, security.JWTFilters(security.JWTInput{Policies: mesh.ListOf(p), Config: config}).Findings...)
	}
	for _, t := range alone.Telemetries.In(namespace) {
		out = append(out, telemetry.Findings(telemetry.Reporting{Telemetries: mesh.ListOf(t)}, config)...)
	}
	return out
}

// gatewayAPI begins the kinds of the Gateway API. What is wrong with their objects
// stands in their status, as the API wants it, and other controllers may read them
// too: none is refused.
const gatewayAPI = "gateway.networking.k8s.io/"

// Admission checks one object as it was written.
func Admission(ctx context.Context, o informers.Object, w *mesh.World) Result {
	var r Result
	r.add(o.Findings...)
	if o.Object == nil {
		r.bound()
		return r
	}
	of := Object(ctx, o.Change, w)
	r.add(of.Invalid...)
	r.add(of.Warnings...)
	r.bound()
	if strings.HasPrefix(string(o.Ref.Kind), gatewayAPI) {
		r.Warnings, r.Invalid = append(r.Invalid, r.Warnings...), nil
	}
	return r
}
