// Package sample holds the applications of the tutorials: small web servers
// behind the command "fairway sample", so that a tutorial needs no image but
// Fairway's own.
//
// They must never know anything of the mesh: they take configuration from flags
// and the environment, call each other by name, and pass headers on, as any
// application would.
package sample
