package discovery

import (
	"strings"
	"unicode"

	"github.com/cespare/xxhash/v2"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairway-mesh/fairway/snapshot"
)

// request is one message of a client, in either variant of the protocol.
type request struct {
	node   *corev3.Node // only in the first message of a stream, as a rule
	state  bool         // it is to be read as of the state-of-the-world variant
	url    string
	typ    snapshot.Type
	known  bool   // whether typ is a type that Fairway serves
	nonce  string // of the response that this message acknowledges; empty when it acknowledges none
	refuse string // why the client refuses that response; empty when it does not
	nack   bool

	nodeBytes int // of node, encoded
	size      int // of the message

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
func wordsOf(message []byte) string {
	words := string(message[:min(len(message), maxRefusal)])
	if len(message) > maxRefusal {
		words = strings.ToValidUTF8(words, "") + " ..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, words)
}

// digestOf is a sum of names in their order.
func digestOf(names []string) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, n := range names {
		_, _ = d.WriteString(n)
		_, _ = d.WriteString("\n")
	}
	return d.Sum64()
}
