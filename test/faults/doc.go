// Package faults is a proxy between a control plane and its API server that
// does harm: it delays, cuts, truncates, refuses, hangs, loses events and
// expires versions, of all kinds or of one, and can be told something else
// while requests run.
//
// It is for tests only, and listens on loopback. It must never be imported by
// the control plane, and it changes nothing at the API server: what it spoils
// are answers.
package faults
