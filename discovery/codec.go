package discovery

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one wraps

	"github.com/fairway-mesh/fairway/snapshot"
)

// response is an encoded DiscoveryResponse or DeltaDiscoveryResponse in parts:
// resources, encoded once for all streams that get them, and a tail of this
// stream's own. Encoded protobuf messages may be joined, so the parts need not
// be copied together.
type response struct {
	parts [][]byte
	tail  []byte
}

func (r *response) size() int {
	n := len(r.tail)
	for _, p := range r.parts {
		n += len(p)
	}
	return n
}

// codec sends responses as they are and leaves all else to protobuf.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		slice := make(mem.BufferSlice, 0, len(r.parts)+1)
		for _, p := range r.parts {
			slice = append(slice, mem.SliceBuffer(p))
		}
		return append(slice, mem.SliceBuffer(r.tail)), nil
	}
	return c.CodecV2.Marshal(v)
}

// Field numbers of envoy.service.discovery.v3. Version, resources, type_url
// and nonce have the same numbers in both variants.
const (
	fieldVersion   = 1 // DiscoveryResponse.version_info, DeltaDiscoveryResponse.system_version_info
	fieldResources = 2
	fieldTypeURL   = 4
	fieldNonce     = 5
	fieldRemoved   = 6 // DeltaDiscoveryResponse only

	fieldResourceVersion = 1 // Resource
	fieldResourceAny     = 2
	fieldResourceName    = 3

	fieldAnyURL   = 1 // google.protobuf.Any
	fieldAnyValue = 2
)

func appendString(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func sizeString(n int) int { return protowire.SizeTag(1) + protowire.SizeBytes(n) }

// encodeTail is what follows the resources of a response.
func encodeTail(t snapshot.Type, version, nonce string) []byte {
	b := make([]byte, 0, sizeString(len(version))+sizeString(len(t.TypeURL()))+sizeString(len(nonce)))
	b = appendString(b, fieldVersion, version)
	b = appendString(b, fieldTypeURL, t.TypeURL())
	return appendString(b, fieldNonce, nonce)
}

func sizeAny(r *snapshot.Resource) int {
	return sizeString(len(r.Type.TypeURL())) + sizeString(len(r.Body))
}

func appendAny(b []byte, r *snapshot.Resource) []byte {
	b = protowire.AppendTag(b, fieldResourceAny, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeAny(r))) //nolint:gosec // a size is not negative
	b = appendString(b, fieldAnyURL, r.Type.TypeURL())
	b = protowire.AppendTag(b, fieldAnyValue, protowire.BytesType)
	return protowire.AppendBytes(b, r.Body)
}

// encodeDelta is the resources and removed_resources of a DeltaDiscoveryResponse.
func encodeDelta(put []*snapshot.Resource, gone []string) []byte {
	entry := func(r *snapshot.Resource) int {
		return sizeString(len(r.Version)) + sizeString(len(r.Name)) + sizeString(sizeAny(r))
	}
	size := 0
	for _, r := range put {
		size += sizeString(entry(r))
	}
	for _, name := range gone {
		size += sizeString(len(name))
	}
	b := make([]byte, 0, size)
	for _, r := range put {
		b = protowire.AppendTag(b, fieldResources, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(entry(r))) //nolint:gosec // a size is not negative
		b = appendString(b, fieldResourceVersion, r.Version)
		b = appendAny(b, r)
		b = appendString(b, fieldResourceName, r.Name)
	}
	for _, name := range gone {
		b = appendString(b, fieldRemoved, name)
	}
	return b
}

// encodeState is the resources of a DiscoveryResponse.
func encodeState(put []*snapshot.Resource) []byte {
	size := 0
	for _, r := range put {
		size += sizeString(sizeAny(r))
	}
	b := make([]byte, 0, size)
	for _, r := range put {
		b = appendAny(b, r) // resources has the number of Resource.resource
	}
	return b
}
