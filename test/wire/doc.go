// Package wire is an ADS client that behaves as Envoy does on the wire, in
// either variant of the protocol, for tests and load generators.
//
// It must never decode what it does not need: a resource is a name, a version
// and bytes, so that thousands of clients fit into one process.
package wire
