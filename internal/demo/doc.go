// Package demo runs the four tutorials as a person would: manifests of samples/,
// the real fairway binary, stock Envoy, real traffic in a local mesh. Each step
// is printed, with what must be seen and what was seen; the same code is the
// tutorials' end-to-end test.
//
// It must never look behind the scenes: what it checks is what a person can see,
// pods and answers, not what the control plane says about itself.
package demo
