// Package identity says who a workload is, and gives it its proof: the
// certificate authority, SPIFFE ids, the certificates that connected proxies
// need, and the authentication of proxies by token or certificate.
//
// # What the certificate carries
//
// A workload's certificate has exactly one URI SAN,
// spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT, and no other name. Its
// Subject tells the other side, for metrics only, which workload of the service
// account is speaking:
//
//	O  = Workload.Name      the Deployment, StatefulSet, ... (source_workload)
//	OU = Workload.Revision  the canonical revision (source_version)
//	CN = Workload.App       the canonical service (source_app)
//
// Envoy prints it as "CN=app,OU=v1,O=app-v1", so that CEL cuts each part out:
//
//	re.extract(connection.subject_peer_certificate, 'O=([^,]+)', '\\1')
//
// None of the three can hold a comma, an equals sign or a space, so a workload
// cannot pretend to be another. Authorization looks at the URI SAN alone.
//
// # Roots
//
// The root is self-signed, made once and kept in a Storage, unless a
// certificate authority is plugged in. A new root, of either sort, is first
// trusted by everybody and signs only Options.Overlap later; an old one stays
// trusted until the last certificate that it signed has expired.
//
// # Proof
//
// With an API server a proxy proves itself by a token that is bound to its pod
// (TokenReview); a client certificate proves nothing there. Without one, in
// file mode, it proves itself by a certificate of this authority, which names
// the service account but no pod.
//
// The package must never let key material or a token into a log, an error, a
// debug page or anything else that is printed or stored outside a Storage, must
// never believe what a proxy says of itself, and knows neither Kubernetes
// clients (internal/identity/kube does) nor xDS.
package identity
