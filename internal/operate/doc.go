// Package operate holds the commands by which operators look at a running mesh:
// status, config, explain, diff and wait.
//
// It only reads: the control plane's debug port, or a directory of YAML. It
// never changes either, and only wait needs a cluster.
package operate
