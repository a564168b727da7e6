package discovery

import (
	"errors"
	"fmt"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Bounds of one request. What is longer than a name is the name of nothing that
// there is, and is passed over; a request beyond the others ends its stream.
const (
	maxName   = 1 << 10   // bytes of a resource's name
	maxListed = 256 << 10 // names in one request; a mesh of 10,000 hosts has some 50,000 clusters
	maxNode   = 256 << 10 // bytes of the node; the list of Envoy's extensions is most of it
)

// Field numbers of envoy.service.discovery.v3.DiscoveryRequest.
const (
	fieldStateVersion = 1
	fieldStateNode    = 2
	fieldStateNames   = 3
	fieldStateURL     = 4
	fieldStateNonce   = 5
	fieldStateError   = 6

	fieldStatusMessage = 2 // of google.rpc.Status
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
	listed := 0
	err := eachField(data, func(field protowire.Number, value []byte) error {
		switch field {
		case fieldDeltaNode:
			return r.decodeNode(value)
		case fieldDeltaError:
			return r.decodeError(value)
		case fieldDeltaInitial:
			name, version, err := mapEntry(value)
			if err != nil {
				return err
			}
			if len(name) <= maxName {
				r.held.add(name, version)
			}
			return count(&listed)
		case fieldDeltaURL:
			r.url = string(value)
		case fieldDeltaSubscribe:
			return list(&r.subscribe, value, &listed)
		case fieldDeltaUnsubscribe:
			return list(&r.unsubscribe, value, &listed)
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

// decodeState reads an encoded DiscoveryRequest.
func decodeState(data []byte) (request, error) {
	var r request
	listed := 0
	err := eachField(data, func(field protowire.Number, value []byte) error {
		switch field {
		case fieldStateNode:
			return r.decodeNode(value)
		case fieldStateError:
			return r.decodeError(value)
		case fieldStateURL:
			r.url = string(value)
		case fieldStateNames:
			return list(&r.names, value, &listed)
		case fieldStateNonce:
			r.nonce = string(value)
		case fieldStateVersion:
			r.version = string(value)
		default:
			return nil
		}
		return valid(value)
	})
	if err != nil {
		return request{}, fmt.Errorf("decoding a DiscoveryRequest: %w", err)
	}
	r.typ, r.known = snapshot.TypeOf(r.url)
	r.digest = digestOf(r.names)
	return r, nil
}

// list adds a name to those of a request.
func list(names *[]string, value []byte, listed *int) error {
	if err := valid(value); err != nil {
		return err
	}
	if len(value) <= maxName {
		*names = append(*names, string(value))
	}
	return count(listed)
}

func count(listed *int) error {
	if *listed++; *listed > maxListed {
		return fmt.Errorf("more than %d names", maxListed)
	}
	return nil
}

func (r *request) decodeNode(data []byte) error {
	if r.nodeBytes += len(data); r.nodeBytes > maxNode {
		return fmt.Errorf("a node of more than %d bytes", maxNode)
	}
	if r.node == nil {
		r.node = &corev3.Node{}
	}
	return proto.UnmarshalOptions{Merge: true}.Unmarshal(data, r.node)
}

// decodeError takes the message of a google.rpc.Status; an Envoy that refuses
// many resources at once says much.
func (r *request) decodeError(data []byte) error {
	r.nack = true
	return eachField(data, func(field protowire.Number, value []byte) error {
		if field != fieldStatusMessage {
			return nil
		}
		r.refuse = wordsOf(value)
		return valid(value)
	})
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
