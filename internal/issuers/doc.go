// Package issuers asks issuers of tokens for their keys, as OpenID Connect Discovery 1.0
// describes it, where a RequestAuthentication names an issuer and nothing of its keys.
// What it is told to ask was written by tenants: it asks by https alone, only addresses
// that mesh.World.NoKeysFrom has nothing against, looked at when the connection is made,
// and with bounds on bytes, time, redirects and requests at a time.
package issuers
