// Package persist holds an immutable ordered map: every update makes a new map
// that shares all that did not change with the one before it.
//
// It must never change a map that was handed out, and it knows nothing of what
// it carries.
package persist
