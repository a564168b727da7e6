// Package webhook is what the API server asks before it stores an object: it
// adds the proxy to pods (/inject), refuses objects of the mesh that nobody
// could serve (/validate), and keeps the API server trusting the certificate
// that it shows (Trust).
//
// Injection is inject.Patch, as "fairway inject" does it; validation is
// internal/check, as "fairway check" does it. Neither writes anything, so that
// every replica answers and a dry run is like any other request.
//
// The package must never answer a request that it could not read with "allowed",
// never read more of a request than MaxRequest, and never log the content of an
// object.
package webhook
