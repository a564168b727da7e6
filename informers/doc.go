// Package informers reads the API objects of a mesh, from a Kubernetes API
// server or from a directory of YAML, and hands each change of one to the mesh,
// trimmed and in order.
//
// Whichever version an object is written or served in, it is handed on as one
// Go type (see the table in kinds.go). An object that cannot be read is
// reported and keeps its last good content; nothing else is held up by it.
//
// It must never interpret what an object says, write to the API server, keep a
// second copy of the world, or modify an object that it has handed on.
package informers
