package identity

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reason is why a proxy was refused; stable, for logs and metrics.
type Reason string

// The reasons.
const (
	ReasonNoCredential Reason = "NoCredential" // neither a token nor, where it would count, a certificate
	ReasonMalformed    Reason = "Malformed"    // the authorization header or the token has no valid form
	ReasonAudience     Reason = "Audience"     // the token is meant for somebody else
	ReasonExpired      Reason = "Expired"
	ReasonRevoked      Reason = "Revoked"   // the pod or service account is gone
	ReasonRejected     Reason = "Rejected"  // the API server does not accept the token for some other reason
	ReasonNotBound     Reason = "NotBound"  // no service account's token, or not bound to a pod
	ReasonUntrusted    Reason = "Untrusted" // the client certificate is not of this mesh
	ReasonUnavailable  Reason = "Unavailable"
)

// Refusal is the error for a proxy that is not let in. It holds nothing of the
// token and, as gRPC status, tells the proxy's owner what to do.
type Refusal struct {
	Reason  Reason
	Message string
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// GRPCStatus is Unavailable when the proof could not be examined, else
// Unauthenticated.
func (r *Refusal) GRPCStatus() *status.Status {
	if r.Reason == ReasonUnavailable {
		return status.New(codes.Unavailable, r.Message)
	}
	return status.New(codes.Unauthenticated, r.Message)
}
