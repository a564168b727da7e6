// Package lease elects, among replicas, the one that writes: statuses, roots,
// the bundle in every namespace. Serving proxies needs no leader.
//
// It must never let two replicas lead on purpose: work ends before the Lease is
// given back. A replica that is cut off may still believe that it leads for
// some seconds, so writers use optimistic concurrency as well.
package lease
