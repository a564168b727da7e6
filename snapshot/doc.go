// Package snapshot says what each proxy is to hold, by version: layers of
// encoded resources that many proxies share, their revisions, and how two
// revisions differ.
//
// It does no I/O and knows no stream: what a proxy has ACKed is discovery's to
// know. Published revisions never change.
package snapshot
