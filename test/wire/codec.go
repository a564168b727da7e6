package wire

import (
	"fmt"
	"unique"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one wraps
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Resource is one resource as it came.
type Resource struct {
	Name    string
	Version string // empty in the state-of-the-world variant
	Body    []byte // the value of the Any; valid until the hook that got it returns
}

// Response is one message of the server.
type Response struct {
	Type    snapshot.Type
	Version string
	Nonce   string
	Put     []Resource
	Removed []string
	Bytes   int // on the wire, without framing
}

// bytesMessage is a message that is received undecoded, or was encoded before
// it is sent.
type bytesMessage struct{ data []byte }

type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*bytesMessage); ok {
		return mem.BufferSlice{mem.SliceBuffer(m.data)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*bytesMessage); ok {
		m.data = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// text is a string that all clients of the process share.
func text(b []byte) string { return unique.Make(string(b)).Value() }

// fields calls visit for each length-delimited or varint field of a message.
func fields(b []byte, visit func(n protowire.Number, data []byte, value uint64) error) error {
	for len(b) > 0 {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var data []byte
		var value uint64
		switch kind {
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(number, kind, b)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if err := visit(number, data, value); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a response of either variant.
func parse(data []byte, delta bool) (Response, error) {
	r := Response{Bytes: len(data)}
	url := ""
	err := fields(data, func(n protowire.Number, d []byte, _ uint64) error {
		switch n {
		case 1:
			r.Version = text(d)
		case 2:
			res, err := parseResource(d, delta)
			if err != nil {
				return err
			}
			r.Put = append(r.Put, res)
		case 4:
			url = string(d)
		case 5:
			r.Nonce = string(d)
		case 6:
			if delta {
				r.Removed = append(r.Removed, text(d))
			}
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("decoding a response: %w", err)
	}
	t, ok := snapshot.TypeOf(url)
	if !ok {
		return r, fmt.Errorf("response of unknown type %q", url)
	}
	r.Type = t
	if !delta {
		for i := range r.Put {
			if r.Put[i].Name, err = nameInBody(t, r.Put[i].Body); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func parseResource(data []byte, delta bool) (Resource, error) {
	var r Resource
	wrapped := data
	if delta {
		if err := fields(data, func(n protowire.Number, d []byte, _ uint64) error {
			switch n {
			case 1:
				r.Version = text(d)
			case 2:
				wrapped = d
			case 3:
				r.Name = text(d)
			}
			return nil
		}); err != nil {
			return r, err
		}
	}
	return r, fields(wrapped, func(n protowire.Number, d []byte, _ uint64) error {
		if n == 2 {
			r.Body = d
		}
		return nil
	})
}

// nameInBody reads the name field of a resource, which is number 1 in every
// type but is called otherwise in some.
func nameInBody(_ snapshot.Type, body []byte) (string, error) {
	name := ""
	err := fields(body, func(n protowire.Number, d []byte, _ uint64) error {
		if n == 1 && name == "" {
			name = text(d)
		}
		return nil
	})
	return name, err
}

// endpointsOf is the name by which a cluster asks for endpoints; empty when it does not.
func endpointsOf(cluster []byte) (string, error) {
	const eds = 3 // envoy.config.cluster.v3.Cluster.EDS
	name, service, kind := "", "", uint64(0)
	err := fields(cluster, func(n protowire.Number, d []byte, v uint64) error {
		switch n {
		case 1:
			name = text(d)
		case 2:
			kind = v
		case 3:
			return fields(d, func(n protowire.Number, d []byte, _ uint64) error {
				if n == 2 {
					service = text(d)
				}
				return nil
			})
		}
		return nil
	})
	if kind != eds {
		return "", err
	}
	if service != "" {
		return service, err
	}
	return name, err
}

// hasVHDS says whether a route configuration takes its virtual hosts one by one.
func hasVHDS(routeConfig []byte) bool {
	const vhds = 9 // envoy.config.route.v3.RouteConfiguration.vhds
	found := false
	_ = fields(routeConfig, func(n protowire.Number, _ []byte, _ uint64) error {
		found = found || n == vhds
		return nil
	})
	return found
}
