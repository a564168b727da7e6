// Package conformance holds the control plane to what people's YAML means: each
// folder of testdata/cases is a small mesh, what happens to it, and what requests
// must see. A case runs on the real binary, on stock Envoys with traffic capture,
// once over the delta protocol and once over state of the world.
//
// What `fairway test` says of a request is held to what the request met.
//
// It must never look at resources on the wire to decide: only at requests, and at
// whether Envoy refused an update. README.md describes how a case is written.
package conformance
