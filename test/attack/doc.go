// Package attack is what hostile proxies and strangers do to a control plane, as
// functions for tests: bounded in bytes and time, and only against a target that
// the test itself has started.
package attack
