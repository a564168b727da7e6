// Package samples holds the manifests of the tutorials, for the commands and
// tests that apply them. The same files are for kubectl.
//
// It must never hold anything that a real cluster would not accept.
package samples

import "embed"

// Files are the manifests, by their path below this directory.
//
//go:embed flaskapp kubia istio-app bank metrics
var Files embed.FS
