package translate

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/security"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// GatewayPolicies are what the authentication and authorization of a router
// bring with them.
type GatewayPolicies struct {
	Clusters     []*clusterv3.Cluster // where keys of tokens come from
	Destinations []string             // hosts that the router calls for itself
	Findings     []object.Finding
}

// ResolvePolicies sets the filters and the reporting of the input by the
// policies that select the router's Pod.
func ResolvePolicies(in *GatewayInput) GatewayPolicies {
	v, x := in.View, in.Workload
	authentications := v.RequestAuthenticationsOf(x)
	policies := v.AuthorizationPoliciesOf(x)
	telemetries := v.TelemetriesOf(x)
	backends := v.Backends(authentications, policies, telemetries)
	jwt := security.JWTFilters(security.JWTInput{Policies: mesh.ListOf(authentications...), Issuers: v.IssuersOf(authentications), Backends: backends, Config: v.Config})
	authz := security.AuthorizationInput{Policies: mesh.ListOf(policies...), Backends: backends, Config: v.Config}
	http, httpFindings := security.AuthorizationHTTP(authz)
	tcp, tcpFindings := security.AuthorizationTCP(authz)
	in.Filters, in.TCP, in.Authenticates = append(jwt.Filters, http...), tcp, len(authentications) > 0
	in.Reporting = telemetry.Reporting{Telemetries: mesh.ListOf(telemetries...), Tracers: v.Tracers(telemetries), Workload: x.Owner, Namespace: x.Namespace}
	out := GatewayPolicies{Clusters: jwt.Clusters}
	for _, b := range backends.Slice() {
		out.Destinations = append(out.Destinations, b.Service.Host)
	}
	out.Findings = slices.Concat(jwt.Findings, httpFindings, tcpFindings, telemetry.Findings(in.Reporting, v.Config))
	return out
}
