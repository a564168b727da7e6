package translate

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/fairway-mesh/fairway/mesh"
)

// GatewayPolicies are what the authentication and authorization of a router
// bring with them.
type GatewayPolicies struct {
	Clusters []*clusterv3.Cluster // where keys of tokens come from
	Findings []mesh.Finding
}

// ResolvePolicies sets the filters of the input by the policies that select
// the router's Pod.
func ResolvePolicies(in *GatewayInput) GatewayPolicies {
	v, x := in.View, in.Workload
	authentications := v.RequestAuthenticationsOf(x.Namespace, x.Labels)
	policies := v.AuthorizationPoliciesOf(x.Namespace, x.Labels)
	backends := v.Backends(authentications, policies)
	jwt := JWTFilters(JWTInput{Policies: mesh.ListOf(authentications...), Backends: backends, Config: v.Config})
	authz := AuthorizationInput{Policies: mesh.ListOf(policies...), Backends: backends, Config: v.Config}
	http, httpFindings := AuthorizationHTTP(authz)
	tcp, tcpFindings := AuthorizationTCP(authz)
	in.Filters, in.TCP = append(jwt.Filters, http...), tcp
	return GatewayPolicies{Clusters: jwt.Clusters, Findings: append(append(jwt.Findings, httpFindings...), tcpFindings...)}
}
