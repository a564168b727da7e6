// Load measures the control plane under load: the real `fairway serve` as a
// process of its own, fed by a real API server or a directory, and many
// simulated proxies.
//
// It must never measure a build that differs from what is shipped, decode what
// the measurement does not need, or hide what it could not measure.
package main
