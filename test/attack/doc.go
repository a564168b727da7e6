// Package attack is what hostile tenants, proxies and strangers do to a control
// plane, as functions for tests: bounded in bytes and time, and only against a
// target that the test itself has started.
//
// Its own test lets them loose on a control plane that serves an honest mesh.
package attack
