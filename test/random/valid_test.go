package random_test

import (
	"fmt"
	"sync"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// validated remembers what was found of each resource, by type and version:
// most are seen many times.
var validated sync.Map

// invalid says what Envoy would refuse in any resource of a proxy.
func invalid(held map[snapshot.Key]*snapshot.Resource) error {
	domains := map[string]string{}
	addresses := map[string]string{}
	for k, r := range held {
		key := k.Type.String() + " " + r.Version
		found, ok := validated.Load(key)
		if !ok {
			found = inspect(r)
			validated.Store(key, found)
		}
		i := found.(inspected)
		if i.err != nil {
			return fmt.Errorf("%s %s of %v: %w", k.Type, k.Name, r.Owners, i.err)
		}
		for _, d := range i.domains {
			if other, taken := domains[d]; taken {
				return fmt.Errorf("the domain %q is one of %s and of %s", d, k.Name, other)
			}
			domains[d] = k.Name
		}
		if i.address == "" {
			continue
		}
		if other, taken := addresses[i.address]; taken {
			return fmt.Errorf("the listeners %s and %s have the address %s", k.Name, other, i.address)
		}
		addresses[i.address] = k.Name
	}
	return nil
}

// inspected is what is known of one resource.
type inspected struct {
	err     error
	domains []string // of a virtual host, with the route configuration before them
	address string   // of a listener
}

func inspect(r *snapshot.Resource) (i inspected) {
	of, err := protoregistry.GlobalTypes.FindMessageByURL(r.Type.TypeURL())
	if err != nil {
		return inspected{err: err}
	}
	m := of.New().Interface()
	if err := proto.Unmarshal(r.Body(), m); err != nil {
		return inspected{err: err}
	}
	switch m := m.(type) {
	case *routev3.VirtualHost:
		config := m.Name[:max(0, len(m.Name)-len(hostOfVirtualHost(m.Name))-1)]
		for _, d := range m.Domains {
			i.domains = append(i.domains, config+" "+d)
		}
	case *listenerv3.Listener:
		i.address = m.GetAddress().String()
		i.err = sameMatches(m)
	}
	if i.err == nil {
		i.err = messageError(m)
	}
	return i
}

// sameMatches finds two filter chains that match alike, which Envoy refuses.
func sameMatches(l *listenerv3.Listener) error {
	seen := map[string]bool{}
	for _, c := range l.FilterChains {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.GetFilterChainMatch())
		if err != nil {
			return err
		}
		if seen[string(text)] {
			return fmt.Errorf("two filter chains match %v", c.GetFilterChainMatch())
		}
		seen[string(text)] = true
	}
	return nil
}

// messageError is what the rules of the messages' own definition refuse, in any
// depth and in packed messages too.
func messageError(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return err
		}
	}
	return protorange.Range(m.ProtoReflect(), func(v protopath.Values) error {
		inner, ok := v.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		a, ok := inner.Interface().(*anypb.Any)
		if !ok || a.TypeUrl == "" {
			return nil
		}
		packed, err := a.UnmarshalNew()
		if err != nil {
			return err
		}
		if err := messageError(packed); err != nil {
			return err
		}
		return protorange.Break
	})
}

// mustBeValid checks all that each proxy holds.
func mustBeValid(t testing.TB, c contents) {
	t.Helper()
	for id, held := range c {
		if err := invalid(held); err != nil {
			t.Errorf("proxy %s: %v", id, err)
		}
	}
}
