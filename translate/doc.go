// Package translate turns one part of a World into Envoy resources.
//
// Its functions are pure: no I/O, no clock, no locks, no package state, and
// the same input always gives the same bytes. What an object asks for and does
// not get is returned as a finding, never dropped in silence.
//
// Below it are resource (names and packing), security (who may) and telemetry
// (what is counted, logged and traced). They know nothing of each other, nor of
// clusters, routes and listeners, which are made here.
package translate
