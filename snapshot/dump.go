package snapshot

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Dump is all that one connected proxy ("POD.NAMESPACE") is to hold, by short
// type name and resource name; secrets only by name.
func (e *Engine) Dump(name string) (any, error) {
	e.mu.Lock()
	var found *Stack
	for a := range e.proxies {
		if a.client.Pod+"."+a.client.Namespace == name || a.client.NodeID == name {
			s := e.stack(a)
			found = &s
		}
	}
	e.mu.Unlock()
	if found == nil {
		return nil, fmt.Errorf("no proxy %q is connected: name one as POD.NAMESPACE, see /debug/syncz", name)
	}
	out := map[string]map[string]json.RawMessage{}
	for t := range NumTypes {
		of := map[string]json.RawMessage{}
		for r := range found.All(t) {
			if t == Secret {
				of[r.Name] = json.RawMessage(`"(not shown)"`)
				continue
			}
			text, err := r.JSON()
			if err != nil {
				return nil, err
			}
			of[r.Name] = text
		}
		if len(of) > 0 {
			out[t.String()] = of
		}
	}
	return out, nil
}

// JSON is the resource in the JSON form of protobuf.
func (r *Resource) JSON() ([]byte, error) {
	m, err := protoregistry.GlobalTypes.FindMessageByURL(r.Type.TypeURL())
	if err != nil {
		return nil, fmt.Errorf("showing %s %s: %w", r.Type, r.Name, err)
	}
	message := m.New().Interface()
	if err := proto.Unmarshal(r.Body(), message); err != nil {
		return nil, fmt.Errorf("showing %s %s: %w", r.Type, r.Name, err)
	}
	return protojson.Marshal(message)
}
