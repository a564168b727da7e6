// Package resource has the words that Envoy resources are made of: the names
// that they bear, how messages are packed into them, and the durations that
// Envoy takes. It must never know an object that users write.
package resource
