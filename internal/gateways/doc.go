// Package gateways runs the Pods of Gateways of the Gateway API that name no
// Service of their own: a Deployment, a Service and a ServiceAccount for each,
// filled in by injection and owned by the Gateway, so that they go with it.
//
// One replica runs it, the leader. It never takes over objects that somebody
// else made.
package gateways
