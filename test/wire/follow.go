package wire

import (
	"maps"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// follow asks for what a response needs; c.mu is held.
func (c *Client) follow(r Response) error {
	switch r.Type {
	case snapshot.Cluster:
		if err := c.want(r, snapshot.Endpoint); err != nil {
			return err
		}
		if err := c.wantSecrets(r); err != nil {
			return err
		}
		return c.listen()
	case snapshot.Endpoint:
		return c.listen()
	case snapshot.Listener:
		return c.want(r, snapshot.RouteConfig)
	case snapshot.RouteConfig:
		if c.options.Delta && !c.types[snapshot.VirtualHost].subscribed && slices.ContainsFunc(r.Put, func(p Resource) bool { return hasVHDS(p.Body) }) {
			return c.tell(snapshot.VirtualHost, &ask{})
		}
	}
	return nil
}

// want subscribes to the resources of type t that those of a response need,
// and unsubscribes from what is needed no more.
func (c *Client) want(r Response, t snapshot.Type) error {
	if c.options.Light {
		return c.wantLight(r, t)
	}
	from, to := c.types[r.Type], c.types[t]
	changed := map[string]bool{} // names that more or fewer resources need than before
	need := func(by, name string) {
		old := from.wanted[by]
		if old == name {
			return
		}
		if delete(from.wanted, by); old != "" {
			to.needed[old]--
			changed[old] = true
		}
		if name != "" {
			to.needed[name]++
			changed[name] = true
			from.wanted[by] = name
		}
	}
	for _, p := range r.Put {
		n, err := c.needsOf(r.Type, p)
		if err != nil {
			return err
		}
		need(p.Name, n.name)
	}
	for _, name := range r.Removed {
		need(name, "")
	}
	if !c.options.Delta { // what is not listed any more is gone
		for name := range from.wanted {
			if _, held := from.held[name]; !held {
				need(name, "")
			}
		}
	}
	var a ask
	for name := range changed {
		switch wanted := to.needed[name] > 0; {
		case wanted && !to.names[name]:
			a.subscribe = append(a.subscribe, name)
		case !wanted && to.names[name]:
			a.unsubscribe = append(a.unsubscribe, name)
			delete(to.held, name)
			if t == snapshot.RouteConfig { // Envoy drops the virtual hosts with it
				maps.DeleteFunc(c.types[snapshot.VirtualHost].held, func(host, _ string) bool { return strings.HasPrefix(host, name+"/") })
			}
		}
		if to.needed[name] <= 0 {
			delete(to.needed, name)
		}
	}
	if len(a.subscribe)+len(a.unsubscribe) == 0 {
		return nil
	}
	slices.Sort(a.subscribe)
	slices.Sort(a.unsubscribe)
	a.version = to.version
	if !c.options.Delta { // the incremental variant repeats no nonce
		a.nonce = to.nonce
	}
	return c.tell(t, &a)
}

// wantLight is want for a client that knows no names: it asks for what every
// resource needs, changed ones included, and takes every name that is removed
// for one that it asked for.
func (c *Client) wantLight(r Response, t snapshot.Type) error {
	a := ask{unsubscribe: r.Removed}
	for _, p := range r.Put {
		n, err := c.needsOf(r.Type, p)
		if err != nil {
			return err
		}
		if n.name != "" {
			a.subscribe = append(a.subscribe, n.name)
		}
	}
	slices.Sort(a.subscribe)
	a.subscribe = slices.Compact(a.subscribe)
	if len(a.subscribe)+len(a.unsubscribe) == 0 {
		return nil
	}
	return c.tell(t, &a)
}

// listen asks for listeners once every cluster has its endpoints.
func (c *Client) listen() error {
	if c.types[snapshot.Listener].subscribed {
		return nil
	}
	if e := c.types[snapshot.Endpoint]; c.options.Light && e.count < e.asked {
		return nil
	}
	for name := range c.types[snapshot.Endpoint].names {
		if _, ok := c.types[snapshot.Endpoint].held[name]; !ok {
			return nil
		}
	}
	return c.tell(snapshot.Listener, &ask{})
}

// routesOf is the route configuration that a listener asks for, empty when none.
func routesOf(body []byte) (string, error) {
	var l listenerv3.Listener
	if err := proto.Unmarshal(body, &l); err != nil {
		return "", err
	}
	chains := l.GetFilterChains()
	if l.GetDefaultFilterChain() != nil {
		chains = append(chains, l.GetDefaultFilterChain())
	}
	for _, chain := range chains {
		for _, f := range chain.GetFilters() {
			var m hcmv3.HttpConnectionManager
			if f.GetTypedConfig().MessageIs(&m) && f.GetTypedConfig().UnmarshalTo(&m) == nil {
				if name := m.GetRds().GetRouteConfigName(); name != "" {
					return name, nil
				}
			}
		}
	}
	return "", nil
}

// Held is what the client holds, by type and name, with versions. It may be
// handed to the next client as Options.Held.
func (c *Client) Held() map[snapshot.Type]map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := map[snapshot.Type]map[string]string{}
	for t, st := range c.types {
		held[t] = maps.Clone(st.held)
	}
	return held
}

// Wants is what the client asks for by name since it holds something: for each
// type, the name of what is held to the name that it needs. It may be handed to
// the next client as Options.Wants; a client that does not know it takes leave
// of all that nothing new needs.
func (c *Client) Wants() map[snapshot.Type]map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	wants := map[snapshot.Type]map[string]string{}
	for t, st := range c.types {
		wants[t] = maps.Clone(st.wanted)
	}
	return wants
}

// Version is the version of one resource that the client holds, and whether it
// holds it.
func (c *Client) Version(t snapshot.Type, name string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.types[t].held[name]
	return v, ok
}

// Len is how many resources of one type the client holds.
func (c *Client) Len(t snapshot.Type) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.types[t].held) + c.types[t].count
}

// Counts is what came so far, by type.
func (c *Client) Counts() map[snapshot.Type]Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.received)
}
