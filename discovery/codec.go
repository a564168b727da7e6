package discovery

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one wraps

	"github.com/fairway-mesh/fairway/snapshot"
)

// response is a DiscoveryResponse or DeltaDiscoveryResponse: resources, which
// were encoded once for all streams that get them, and a tail of this stream's
// own. Encoded protobuf messages may be joined, so nothing is copied together.
type response struct {
	put  []*snapshot.Resource
	bare bool // as a DiscoveryResponse lists them
	tail []byte
	size int // bytes; known once it is encoded
}

// entry is what one resource adds to the response.
func (r *response) entry(res *snapshot.Resource) []byte {
	if r.bare {
		return res.Bare()
	}
	return res.Entry()
}

// buffers are the parts of the response in their order.
func (r *response) buffers() mem.BufferSlice {
	parts := make([]mem.SliceBuffer, len(r.put)+1) // one allocation for all of them
	slice := make(mem.BufferSlice, len(parts))
	r.size = len(r.tail)
	for i, res := range r.put {
		parts[i] = r.entry(res)
		slice[i] = &parts[i]
		r.size += len(parts[i])
	}
	parts[len(r.put)] = r.tail
	slice[len(r.put)] = &parts[len(r.put)]
	return slice
}

// codec sends responses as they are, reads requests by itself, and
// leaves all else to protobuf.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	decode := decodeDelta
	if r.state {
		decode = decodeState
	}
	var err error
	*r, err = decode(data.Materialize())
	r.size = data.Len()
	return err
}

// Field numbers of envoy.service.discovery.v3. Version, type_url and nonce have
// the same numbers in both variants.
const (
	fieldVersion = 1 // DiscoveryResponse.version_info, DeltaDiscoveryResponse.system_version_info
	fieldTypeURL = 4
	fieldNonce   = 5
	fieldRemoved = 6 // DeltaDiscoveryResponse only
)

func appendString(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func sizeString(n int) int { return protowire.SizeTag(1) + protowire.SizeBytes(n) }

// encodeTail is what follows the resources of a response. Only the incremental
// variant can say what is gone.
func encodeTail(t snapshot.Type, gone []string, version, nonce string) []byte {
	size := sizeString(len(version)) + sizeString(len(t.TypeURL())) + sizeString(len(nonce))
	for _, name := range gone {
		size += sizeString(len(name))
	}
	b := make([]byte, 0, size)
	for _, name := range gone {
		b = appendString(b, fieldRemoved, name)
	}
	b = appendString(b, fieldVersion, version)
	b = appendString(b, fieldTypeURL, t.TypeURL())
	return appendString(b, fieldNonce, nonce)
}
