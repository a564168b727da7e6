// Package bounds says how much one object, and all objects of a namespace, may
// ask for, and counts it before any of it is made. It must never change an
// object, nor know what else there is in the mesh.
package bounds
