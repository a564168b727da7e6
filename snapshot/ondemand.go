package snapshot

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of envoy.service.discovery.v3.Resource that only resources on demand have.
const (
	fieldResourceAliases = 4
	fieldResourceTTL     = 6

	fieldSeconds = 1 // google.protobuf.Duration
)

// LeaseTime is how long a proxy keeps a resource that is leased. It is renewed three
// times in that time, so that it ends soon after the control plane is away, and not before.
const LeaseTime = 30 * time.Second

// AnsweredVersion is the version of an answer; see [Answer].
const AnsweredVersion = "answered"

// Answer is what a proxy that asks for a virtual host on demand is told beside the virtual
// host, or in its place when there is none: a resource without content that bears the name which it
// asked for. The request goes on then.
func Answer(name string) *Resource {
	r := &Resource{Type: VirtualHost, Name: name, Version: AnsweredVersion}
	r.entry = entryOf(r, func(b []byte) []byte {
		b = protowire.AppendTag(b, fieldResourceAliases, protowire.BytesType)
		return protowire.AppendString(b, name)
	})
	return r
}

// Leased tells whether proxies let go of the resource by themselves unless it is renewed.
func (r *Resource) Leased() bool { return r.leased }

// Lease is r as a resource that proxies keep for LeaseTime.
func (r *Resource) Lease() *Resource {
	leased := *r
	leased.leased = true
	leased.entry = entryOf(r, func(b []byte) []byte {
		b = appendHead(b, fieldResourceAny, r.sizeAny())
		url := r.Type.TypeURL()
		b = append(appendHead(b, fieldAnyURL, len(url)), url...)
		b = append(appendHead(b, fieldAnyValue, len(r.body)), r.body...)
		return appendTTL(b)
	})
	return &leased
}

// Renewal is what a proxy is sent that a lease goes on: it has no content. One that has
// let go of the resource meanwhile refuses it.
func (r *Resource) Renewal() *Resource {
	renewal := &Resource{Type: r.Type, Name: r.Name, Version: r.Version, leased: true}
	renewal.entry = entryOf(renewal, appendTTL)
	return renewal
}

func appendTTL(b []byte) []byte {
	ttl := protowire.AppendTag(nil, fieldSeconds, protowire.VarintType)
	ttl = protowire.AppendVarint(ttl, uint64(LeaseTime/time.Second))
	b = protowire.AppendTag(b, fieldResourceTTL, protowire.BytesType)
	return protowire.AppendBytes(b, ttl)
}

// entryOf is a resource as a field of a DeltaDiscoveryResponse, with what fill appends
// beside its name and version.
func entryOf(r *Resource, fill func([]byte) []byte) []byte {
	var inner []byte
	inner = protowire.AppendTag(inner, fieldResourceVersion, protowire.BytesType)
	inner = protowire.AppendString(inner, r.Version)
	inner = protowire.AppendTag(inner, fieldResourceName, protowire.BytesType)
	inner = protowire.AppendString(inner, r.Name)
	inner = fill(inner)
	return append(appendHead(nil, fieldResources, len(inner)), inner...)
}
