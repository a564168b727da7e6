// Package security turns AuthorizationPolicies and RequestAuthentications into
// Envoy filters. It must never let a request through that the policy, if it had
// no defect, would stop.
package security
