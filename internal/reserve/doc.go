// Package reserve keeps file descriptors back from proxies, so that there are
// some for the API server, for health and for debugging however many proxies
// there are; and it keeps the process within its memory.
//
// It must never close a connection that it has let in.
package reserve
