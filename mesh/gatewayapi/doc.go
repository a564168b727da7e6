// Package gatewayapi reads, attaches and checks the Gateways and routes of the
// Kubernetes Gateway API, and the Ingresses that came before them, and makes
// Gateways and VirtualServices of them. It must never ask more of the mesh than
// View holds, nor decide which proxies see what it makes.
package gatewayapi
