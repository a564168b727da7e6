package snapshot

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// NotHeld is the place in a dump of everything, beside those of the types, of the names
// of the virtual hosts that the proxy does not hold, and asks for when it needs them.
const NotHeld = "vhds-not-held"

// Dump is what one connected proxy ("POD.NAMESPACE") is to hold, by short
// type name and resource name; secrets only by name. With all it is, for one
// that learns, what it would hold if it held everything, and NotHeld.
func (e *Engine) Dump(name string, all bool) (any, error) {
	e.mu.Lock()
	var found *Stack
	notHeld := map[string]json.RawMessage{}
	for a := range e.proxies {
		if a.client.Pod+"."+a.client.Namespace == name || a.client.NodeID == name {
			s := e.stack(a)
			if all && a.learned != nil {
				s = everything(s, a.learned.frame.stack, notHeld)
			}
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
	if len(notHeld) > 0 {
		out[NotHeld] = notHeld
	}
	return out, nil
}

// everything is a stack with all that its scope shows, in place of what was learned of it.
func everything(held, scope Stack, notHeld map[string]json.RawMessage) Stack {
	for r := range scope.All(VirtualHost) {
		if held.Get(VirtualHost, r.Name) == nil {
			notHeld[r.Name] = json.RawMessage("true")
		}
	}
	held[LayerOutbound], held[LayerBase] = scope[LayerOutbound], scope[LayerBase]
	return held
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
