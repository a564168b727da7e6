package wire

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// encodeDelta is a DeltaDiscoveryRequest. What a client holds is thousands of
// entries, for which the protobuf library takes many times as long, and a fleet
// of clients that say so at once is to measure the server.
func encodeDelta(node *corev3.Node, t snapshot.Type, a *ask, detail *rpcstatus.Status) ([]byte, error) {
	size := 256
	for _, n := range a.subscribe {
		size += len(n) + 8
	}
	for n, v := range a.initial {
		size += len(n) + len(v) + 12
	}
	b := make([]byte, 0, size)
	message := func(field protowire.Number, m proto.Message) error {
		data, err := proto.Marshal(m)
		b = protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), data)
		return err
	}
	text := func(field protowire.Number, s string) {
		b = protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
	}
	if node != nil {
		if err := message(1, node); err != nil {
			return nil, err
		}
	}
	text(2, t.TypeURL())
	for _, n := range a.subscribe {
		text(3, n)
	}
	for _, n := range a.unsubscribe {
		text(4, n)
	}
	for n, v := range a.initial {
		entry := protowire.SizeTag(1) + protowire.SizeBytes(len(n)) + protowire.SizeTag(2) + protowire.SizeBytes(len(v))
		b = protowire.AppendVarint(protowire.AppendTag(b, 5, protowire.BytesType), uint64(entry)) //nolint:gosec // a length
		text(1, n)
		text(2, v)
	}
	if a.nonce != "" {
		text(6, a.nonce)
	}
	if detail != nil {
		if err := message(7, detail); err != nil {
			return nil, err
		}
	}
	return b, nil
}
