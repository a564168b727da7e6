package wire

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Options say what a client is. The zero Options, with a node id, are a
// current Envoy on a state-of-the-world stream over plaintext.
type Options struct {
	NodeID   string
	Delta    bool
	Metadata *structpb.Struct
	Version  snapshot.Version                 // of Envoy; zero: 1.40.0
	Agent    string                           // user agent; empty: "envoy"
	Creds    credentials.TransportCredentials // nil: plaintext
	PerRPC   credentials.PerRPCCredentials    // nil: none
	// OnResponse sees every response before it is acknowledged; its error is
	// sent as a NACK. Nil accepts all.
	OnResponse func(Response) error
	// Light keeps counts only of what the client holds, not names and
	// versions, so that thousands of clients of a large mesh fit into one
	// process. For the incremental variant; such a client cannot reconnect.
	Light bool
	// Bodies is shared by clients of one process; nil: each reads all by itself.
	Bodies *Bodies
	// Held is what the client has from an earlier stream (see Client.Held), and
	// Wants is what that needs (see Client.Wants).
	Held, Wants map[snapshot.Type]map[string]string
}

// Client is one proxy. It lives as long as Run.
type Client struct {
	options Options
	send    func(snapshot.Type, *ask) error

	mu       sync.Mutex
	types    map[snapshot.Type]*typeState
	received map[snapshot.Type]Count
	first    bool
}

// Count is what came of one type.
type Count struct{ Messages, Resources, Removed, Bytes int }

type typeState struct {
	subscribed bool
	names      map[string]bool     // asked for by name
	held       map[string]string   // name to version
	version    string              // state of the world
	nonce      string              // of the last response, which later requests repeat
	wanted     map[string]string   // cluster or listener to the name that it asks for
	needed     map[string]int      // names, by how many clusters or listeners ask for them
	secrets    map[string][]string // cluster to the secrets that it asks for
	count      int                 // how many it holds, when it is light
	asked      int                 // how many it asked for by name, when it is light
}

// ask is what a client has to say about one type.
type ask struct {
	subscribe, unsubscribe []string
	initial                map[string]string
	version, nonce         string
	refuse                 error
}

// New returns a client that is not connected.
func New(options Options) *Client {
	c := &Client{options: options, types: map[snapshot.Type]*typeState{}, received: map[snapshot.Type]Count{}, first: true}
	for t := range snapshot.NumTypes {
		c.types[t] = &typeState{names: map[string]bool{}, held: map[string]string{}, wanted: map[string]string{}, needed: map[string]int{}, secrets: map[string][]string{}}
		if held := options.Held[t]; held != nil {
			maps.Copy(c.types[t].held, held)
		}
		maps.Copy(c.types[t].wanted, options.Wants[t])
	}
	for t, needs := range map[snapshot.Type]snapshot.Type{snapshot.Cluster: snapshot.Endpoint, snapshot.Listener: snapshot.RouteConfig} {
		for _, name := range options.Wants[t] {
			c.types[needs].needed[name]++
		}
	}
	return c
}

// Node is what the client says of itself.
func (c *Client) Node() *corev3.Node {
	agent, v := c.options.Agent, c.options.Version
	if agent == "" {
		agent = "envoy"
	}
	if v == (snapshot.Version{}) {
		v = snapshot.Version{Major: 1, Minor: 40}
	}
	return &corev3.Node{Id: c.options.NodeID, Cluster: "wire", Metadata: c.options.Metadata, UserAgentName: agent,
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{
			Version: &typev3.SemanticVersion{MajorNumber: v.Major, MinorNumber: v.Minor, Patch: v.Patch}}}}
}

// Dial connects to an ADS server as clients of this package do, apart from what
// more says.
func Dial(addr string, options Options, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := options.Creds
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(1<<30)),
		grpc.WithSharedWriteBuffer(true),
		// Envoy's windows are as large and do not adapt themselves either.
		grpc.WithStaticStreamWindowSize(16 << 20), grpc.WithStaticConnWindowSize(24 << 20),
	}
	if options.PerRPC != nil {
		dial = append(dial, grpc.WithPerRPCCredentials(options.PerRPC))
	}
	return grpc.NewClient("passthrough:///"+addr, append(dial, more...)...)
}

// Run connects and plays Envoy until ctx or the stream ends. The error is that
// of the stream.
func (c *Client) Run(ctx context.Context, addr string) error {
	conn, err := Dial(addr, c.options)
	if err != nil {
		return fmt.Errorf("dialling %s: %w", addr, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method := discoveryv3.AggregatedDiscoveryService_StreamAggregatedResources_FullMethodName
	c.send = nil
	if c.options.Delta {
		method = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName
	}
	str, err := conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "ads", ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	c.send = func(t snapshot.Type, a *ask) error {
		err := c.say(str, t, a)
		if err != nil { // the cause comes from the receiving side
			var m bytesMessage
			if cause := str.RecvMsg(&m); cause != nil {
				return cause
			}
		}
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	for {
		var m bytesMessage
		if err := str.RecvMsg(&m); err != nil {
			return err
		}
		r, err := parse(m.data, c.options.Delta)
		if err != nil {
			return err
		}
		if err := c.receive(r); err != nil {
			return err
		}
	}
}

// begin subscribes as Envoy does at the start of a stream: to clusters only,
// or after a reconnect to all that it had.
func (c *Client) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []snapshot.Type{snapshot.Cluster, snapshot.Endpoint, snapshot.Secret, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost} {
		held := c.types[t].held
		if t != snapshot.Cluster && len(held) == 0 || t == snapshot.VirtualHost && !c.options.Delta {
			continue
		}
		a := &ask{initial: held, version: c.types[t].version}
		if t == snapshot.Endpoint || t == snapshot.Secret || t == snapshot.RouteConfig {
			a.subscribe = slices.Sorted(maps.Keys(held))
		}
		if err := c.tell(t, a); err != nil {
			return err
		}
	}
	return nil
}

// tell sends a and keeps track of the names; c.mu is held.
func (c *Client) tell(t snapshot.Type, a *ask) error {
	st := c.types[t]
	st.subscribed = true
	if c.options.Light {
		st.asked += len(a.subscribe) - len(a.unsubscribe)
		return c.send(t, a)
	}
	for _, n := range a.subscribe {
		st.names[n] = true
	}
	for _, n := range a.unsubscribe {
		delete(st.names, n)
	}
	return c.send(t, a)
}

// say writes one request.
func (c *Client) say(str grpc.ClientStream, t snapshot.Type, a *ask) error {
	var detail *rpcstatus.Status
	if a.refuse != nil {
		detail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: a.refuse.Error()}
	}
	var node *corev3.Node
	if c.first {
		node, c.first = c.Node(), false
	}
	if c.options.Delta {
		data, err := encodeDelta(node, t, a, detail)
		if err != nil {
			return err
		}
		return str.SendMsg(&bytesMessage{data})
	}
	return str.SendMsg(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: t.TypeURL(), ResponseNonce: a.nonce, ErrorDetail: detail,
		VersionInfo: a.version, ResourceNames: slices.Sorted(maps.Keys(c.types[t].names))})
}

// receive takes one response: it is acknowledged, and what it needs is asked for.
func (c *Client) receive(r Response) error {
	var refuse error
	if c.options.OnResponse != nil {
		refuse = c.options.OnResponse(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.types[r.Type]
	st.nonce = r.Nonce
	n := c.received[r.Type]
	n.Messages++
	n.Resources += len(r.Put)
	n.Removed += len(r.Removed)
	n.Bytes += r.Bytes
	c.received[r.Type] = n
	if refuse != nil {
		return c.send(r.Type, &ask{nonce: r.Nonce, refuse: refuse, version: st.version})
	}
	c.keep(r)
	st.version = r.Version
	if err := c.send(r.Type, &ask{nonce: r.Nonce, version: r.Version}); err != nil {
		return err
	}
	return c.follow(r)
}

// keep takes down what the client holds now.
func (c *Client) keep(r Response) {
	st := c.types[r.Type]
	if c.options.Light {
		// What is sent again counts twice; only the first answer is compared with a number.
		st.count += len(r.Put) - len(r.Removed)
		return
	}
	if !c.options.Delta && (r.Type == snapshot.Cluster || r.Type == snapshot.Listener) {
		clear(st.held)
	}
	for _, res := range r.Put {
		version := res.Version
		if version == "" {
			version = r.Version
		}
		st.held[res.Name] = version
	}
	for _, name := range r.Removed {
		delete(st.held, name)
	}
}
