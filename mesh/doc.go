// Package mesh is the world: what Kubernetes and the Istio networking API say
// at one moment, parsed, indexed and immutable, with one writer.
//
// It knows the API types of Kubernetes and Istio and answers the questions of
// visibility, precedence and merging ("which DestinationRule applies to this
// host as seen from this scope?"). It does no I/O, knows no Envoy proto, and
// nothing that Envoy answers ever changes it.
//
// What needs no World is in packages below it, which never import it: gatewayapi
// makes Gateways and rules of the Gateway API and of Ingresses, registry reads
// services, workloads, endpoints and Secrets, traffic reads and checks Istio's
// rules, bounds says how much objects may ask for, and object has the
// words for objects that everybody uses.
package mesh
