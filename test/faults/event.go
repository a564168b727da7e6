package faults

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Event is one of a watch.
type Event struct {
	// Type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, or what no client knows.
	// Empty: Object is sent as it is, without a frame.
	Type string
	// Object is in protobuf, or else in JSON.
	Object   []byte
	Protobuf bool
}

// framed is the event as it is sent.
func (e Event) framed() []byte {
	switch {
	case e.Type == "":
		return e.Object
	case !e.Protobuf:
		return fmt.Appendf(nil, "{\"type\":%q,\"object\":%s}\n", e.Type, e.Object)
	}
	message, err := (&metav1.WatchEvent{Type: e.Type, Object: runtime.RawExtension{Raw: e.Object}}).Marshal()
	if err != nil { // a plain struct
		panic(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

// unframed reads what an API server has sent.
func unframed(b []byte, binaryForm bool) Event {
	if binaryForm {
		var e metav1.WatchEvent
		if err := e.Unmarshal(b[4:]); err != nil {
			return Event{Object: b, Protobuf: true}
		}
		return Event{Type: e.Type, Object: e.Object.Raw, Protobuf: true}
	}
	var e struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return Event{Object: b}
	}
	return Event{Type: e.Type, Object: e.Object}
}
