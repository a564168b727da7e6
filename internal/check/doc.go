// Package check says what is wrong with objects of the mesh before they are in
// force: for the validating webhook, and for "fairway check". It asks those who
// would parse and translate the objects, so that it finds what they would.
//
// What is invalid by itself is refused. What other objects can mend, or what is
// understood and not acted upon, is a warning.
//
// The package must never know better than mesh and translate, and never change
// an object or the mesh.
package check
