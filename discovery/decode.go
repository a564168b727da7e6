package discovery

import (
	"errors"
	"fmt"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Field numbers of envoy.service.discovery.v3.DeltaDiscoveryRequest, and of the
// entries of its map.
const (
	fieldDeltaNode        = 1
	fieldDeltaURL         = 2
	fieldDeltaSubscribe   = 3
	fieldDeltaUnsubscribe = 4
	fieldDeltaInitial     = 5
	fieldDeltaNonce       = 6
	fieldDeltaError       = 7

	fieldMapKey   = 1
	fieldMapValue = 2
)

var errText = errors.New("text that is not UTF-8")

// decodeDelta reads an encoded DeltaDiscoveryRequest, which must not change
// afterwards. Most of what proxies send are ACKs, of a type and a nonce, and most
// bytes are the names that a proxy holds when it connects again: neither needs
// the message as a struct with a map.
func decodeDelta(data []byte) (request, error) {
	var r request
	if err := r.decode(data); err != nil {
		return request{}, fmt.Errorf("decoding a DeltaDiscoveryRequest: %w", err)
	}
	if r.held.count > 0 {
		r.held.message = data
	}
	return r, nil
}

func (r *request) decode(data []byte) error {
	err := eachField(data, func(field protowire.Number, value []byte) error {
		switch field {
		case fieldDeltaNode:
			if r.node == nil {
				r.node = &corev3.Node{}
			}
			return proto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.node)
		case fieldDeltaError:
			var detail rpcstatus.Status
			if err := proto.Unmarshal(value, &detail); err != nil {
				return err
			}
			r.nack, r.refuse = true, wordsOf(&detail)
			return nil
		case fieldDeltaInitial:
			name, version, err := mapEntry(value)
			if err == nil {
				r.held.add(name, version)
			}
			return err
		case fieldDeltaURL:
			r.url = string(value)
		case fieldDeltaSubscribe:
			r.subscribe = append(r.subscribe, string(value))
		case fieldDeltaUnsubscribe:
			r.unsubscribe = append(r.unsubscribe, string(value))
		case fieldDeltaNonce:
			r.nonce = string(value)
		default:
			return nil
		}
		return valid(value)
	})
	r.typ, r.known = snapshot.TypeOf(r.url)
	return err
}

// mapEntry is key and value of an entry of a map from text to text.
func mapEntry(data []byte) (key, value []byte, err error) {
	for len(data) > 0 {
		var field protowire.Number
		var text []byte
		if field, text, data, err = nextField(data); err != nil {
			return nil, nil, err
		}
		switch field {
		case fieldMapKey:
			key = text
		case fieldMapValue:
			value = text
		default:
			continue
		}
		if err := valid(text); err != nil {
			return nil, nil, err
		}
	}
	return key, value, nil
}

func valid(text []byte) error {
	if !utf8.Valid(text) {
		return errText
	}
	return nil
}

// eachField calls visit with the value of each length-delimited field of a
// message; others it passes over.
func eachField(data []byte, visit func(field protowire.Number, value []byte) error) error {
	for len(data) > 0 {
		field, value, rest, err := nextField(data)
		if err != nil {
			return err
		}
		if field != 0 {
			if err := visit(field, value); err != nil {
				return err
			}
		}
		data = rest
	}
	return nil
}

// nextField is the first field of a message, and what follows. Its number is 0,
// which no field has, when it is not length-delimited.
func nextField(data []byte) (field protowire.Number, value, rest []byte, err error) {
	field, kind, size := protowire.ConsumeTag(data)
	if size < 0 {
		return 0, nil, nil, protowire.ParseError(size)
	}
	data = data[size:]
	if kind == protowire.BytesType {
		value, size = protowire.ConsumeBytes(data)
	} else {
		size = protowire.ConsumeFieldValue(field, kind, data)
		field = 0
	}
	if size < 0 {
		return 0, nil, nil, protowire.ParseError(size)
	}
	return field, value, data[size:], nil
}
