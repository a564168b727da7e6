// Package envoycost measures what Fairway's own resources cost a stock Envoy: the heap of one
// more cluster, listener, virtual host or route, and the CPU time of one request at
// either end of mutual TLS. `make bench-envoy` prints the tables.
//
// It must never measure resources that were written by hand, nor assert a time.
package envoycost
