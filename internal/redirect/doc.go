// Package redirect captures a pod's TCP traffic for its proxy: rules of
// nftables, written over netlink, that send what the application says to Envoy's
// outbound port and what is said to the application to Envoy's inbound port.
//
// It needs the capability NET_ADMIN in the pod's network namespace and no other
// program. All rules live in one table of the family inet, so for IPv4 and IPv6
// alike, which is replaced as a whole in one transaction: applying twice is the
// same as once, and there is no moment with half the rules.
//
// # What is captured
//
// Out of the pod: TCP from anybody but the proxy's user and group, to anywhere
// but the pod itself, less what is excluded. Into the pod: TCP from outside,
// less what is excluded. The proxy's own way to the application is left alone
// when it leaves from 127.0.0.6 or ::6 (so the second is put on the loopback
// device) or goes to loopback; any other connection of the proxy to the pod
// itself is one that it balances to the pod it stands in ("hairpin") and is
// captured as if it came from outside, so that it meets the same policy.
//
// UDP, and so DNS over it, is never touched.
//
// The package must never touch a table that is not its own, call a program, or
// read Kubernetes objects.
package redirect
