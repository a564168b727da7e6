package discovery

import (
	"errors"
	"fmt"
	"strings"
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

// decodeDelta reads an encoded DeltaDiscoveryRequest. Most of what proxies send
// are ACKs, of a type and a nonce, and most bytes are the names that a proxy
// holds when it connects again: neither needs the message as a struct with a
// map, which takes ten times as long to make.
func decodeDelta(data []byte) (request, error) {
	var r request
	text := string(data) // all strings but those that are kept are parts of it
	if err := r.decode(data, text); err != nil {
		return request{}, fmt.Errorf("decoding a DeltaDiscoveryRequest: %w", err)
	}
	if r.typ, r.known = snapshot.TypeOf(r.url); r.known {
		r.url = r.typ.TypeURL()
	}
	return r, nil
}

func (r *request) decode(data []byte, text string) error {
	return eachField(data, func(field protowire.Number, from, to int) error {
		value := text[from:to]
		switch field {
		case fieldDeltaNode:
			if r.node == nil {
				r.node = &corev3.Node{}
			}
			return proto.UnmarshalOptions{Merge: true}.Unmarshal(data[from:to], r.node)
		case fieldDeltaError:
			var detail rpcstatus.Status
			if err := proto.Unmarshal(data[from:to], &detail); err != nil {
				return err
			}
			r.nack, r.refuse = true, wordsOf(&detail)
			return nil
		case fieldDeltaInitial:
			if r.held.resources == nil { // one of a list, as a rule of its only field
				r.held.resources = make([]heldResource, 0, len(data)/(to-from+1)+1)
			}
			return r.decodeHeld(data[from:to], value)
		case fieldDeltaURL:
			r.url = value
		case fieldDeltaSubscribe:
			r.subscribe = append(r.subscribe, strings.Clone(value))
		case fieldDeltaUnsubscribe:
			r.unsubscribe = append(r.unsubscribe, strings.Clone(value))
		case fieldDeltaNonce:
			r.nonce = value
		default:
			return nil
		}
		return valid(value)
	})
}

func (r *request) decodeHeld(data []byte, text string) error {
	var name, version string
	err := eachField(data, func(field protowire.Number, from, to int) error {
		switch field {
		case fieldMapKey:
			name = text[from:to]
			return valid(name)
		case fieldMapValue:
			version = text[from:to]
			return valid(version)
		}
		return nil
	})
	if err == nil {
		r.held.add(name, version)
	}
	return err
}

func valid(text string) error {
	if !utf8.ValidString(text) {
		return errText
	}
	return nil
}

// eachField calls visit with the place of the value of each length-delimited
// field of a message; others it passes over.
func eachField(data []byte, visit func(field protowire.Number, from, to int) error) error {
	for at := 0; at < len(data); {
		field, kind, size := protowire.ConsumeTag(data[at:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		at += size
		if size = protowire.ConsumeFieldValue(field, kind, data[at:]); size < 0 {
			return protowire.ParseError(size)
		}
		end := at + size
		if kind == protowire.BytesType {
			_, head := protowire.ConsumeVarint(data[at:])
			if err := visit(field, at+head, end); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}
