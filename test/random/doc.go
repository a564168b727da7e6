// Package random makes objects that nobody would write but anybody could: of
// every kind that Fairway reads, well-formed, mostly valid, out of few names so
// that they come to meet. What is drawn follows from bytes alone, so that a run
// can be repeated and a fuzzer can learn which bytes lead where.
//
// Its tests hold the way from objects to resources to what must be true of any
// objects: nothing panics, every resource is one that Envoy takes, a change
// shows on nothing that it does not concern and leaves nothing behind when it
// is taken back.
//
// It must never know what a kind means, beyond which words its fields hold.
package random
