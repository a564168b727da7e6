// Package debug serves the port that operators look at: health, metrics, and
// what the control plane knows and has sent.
//
// It only reads. Nothing that it shows holds key material.
package debug
