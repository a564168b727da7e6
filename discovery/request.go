package discovery

import (
	"strings"
	"unicode"

	"github.com/cespare/xxhash/v2"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/fairway-mesh/fairway/snapshot"
)

// request is one message of a client, in either variant of the protocol.
type request struct {
	node   *corev3.Node // only in the first message of a stream, as a rule
	url    string
	typ    snapshot.Type
	known  bool   // whether typ is a type that Fairway serves
	nonce  string // of the response that this message acknowledges; empty when it acknowledges none
	refuse string // why the client refuses that response; empty when it does not
	nack   bool

	// The incremental variant.
	subscribe, unsubscribe []string
	held                   held // from an earlier stream

	// The state-of-the-world variant.
	names   []string
	digest  uint64 // of names in the order in which they came
	version string // that the client holds, also from an earlier stream
}

// maxRefusal bounds what is kept of a client's words.
const maxRefusal = 4 << 10

// wordsOf is why a client refuses a response, in one line: whatever it says, it
// forges no line of a log and moves no terminal.
func wordsOf(detail *rpcstatus.Status) string {
	words := detail.GetMessage()
	if len(words) > maxRefusal {
		words = strings.ToValidUTF8(words[:maxRefusal], "") + " ..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, words)
}

func fromState(m *discoveryv3.DiscoveryRequest) request {
	r := request{
		node: m.GetNode(), url: m.GetTypeUrl(), nonce: m.GetResponseNonce(),
		nack: m.GetErrorDetail() != nil, refuse: wordsOf(m.GetErrorDetail()),
		names: m.GetResourceNames(), version: m.GetVersionInfo(),
	}
	r.typ, r.known = snapshot.TypeOf(r.url)
	var d xxhash.Digest
	d.Reset()
	for _, n := range r.names {
		_, _ = d.WriteString(n)
		_, _ = d.WriteString("\n")
	}
	r.digest = d.Sum64()
	return r
}
