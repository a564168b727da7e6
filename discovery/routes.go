package discovery

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// routeConfigOf is the route configuration that a virtual host belongs to.
func routeConfigOf(virtualHost string) string {
	name, _, _ := strings.Cut(virtualHost, "/")
	return name
}

// vhds is the encoded field RouteConfiguration.vhds that tells Envoy to take
// the virtual hosts one by one from the stream that it has.
var vhds = encodeVHDS(nil)

func encodeVHDS(patience *durationpb.Duration) []byte {
	body, err := proto.Marshal(&routev3.RouteConfiguration{Vhds: &routev3.Vhds{ConfigSource: &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   patience,
	}}})
	if err != nil { // it has no text in it
		panic(err)
	}
	return body
}

// vhdsOf is vhds for a route configuration of an era (see [snapshot.Resource.Era]). It
// differs from that of another era, in how long Envoy waits for a first answer: by default
// 15 seconds.
func vhdsOf(era int) []byte {
	if era == 0 {
		return vhds
	}
	const patience = 15 * time.Second
	return encodeVHDS(durationpb.New(patience + time.Duration(era%1_000_000)*time.Microsecond))
}

// framed is the frame of a route configuration for a proxy that takes virtual
// hosts one by one. Its version is that of the frame.
func framed(frame *snapshot.Resource) *snapshot.Resource {
	return frame.With(frame.Version, frame.Body(), vhdsOf(frame.Era()))
}

const fieldVirtualHosts = 2 // RouteConfiguration.virtual_hosts

// inlined is the route configuration with all its virtual hosts, for clients
// that take it whole; nil when there is no such route configuration. pick
// chooses what to send in place of a virtual host; nil leaves it out.
func inlined(stack snapshot.Stack, name string, pick func(*snapshot.Resource) *snapshot.Resource) *snapshot.Resource {
	frame := pick(stack.Get(snapshot.RouteConfig, name))
	if frame == nil {
		return nil
	}
	parts := [][]byte{frame.Body()}
	for host := range stack.Prefix(snapshot.VirtualHost, name+"/") {
		if host = pick(host); host == nil {
			continue
		}
		body := host.Body()
		head := protowire.AppendTag(nil, fieldVirtualHosts, protowire.BytesType)
		parts = append(parts, protowire.AppendVarint(head, uint64(len(body))), body)
	}
	return frame.With("", parts...)
}

func hexVersion(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[v&15]
		v >>= 4
	}
	return string(b[:])
}
