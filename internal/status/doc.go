// Package status tells users on their objects, by status.conditions and
// validationMessages, what became of them.
//
// One replica runs it, the leader. It never touches a spec, metadata or
// conditions of others, and never writes what stands there already.
package status
