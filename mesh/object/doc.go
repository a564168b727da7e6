// Package object holds the words in which everybody speaks of the objects of
// the API: kinds and references, findings about them, names of hosts, who sees
// an object, and what ports speak. It must never know the fields of a kind, the
// mesh, or any other package of Fairway.
package object
