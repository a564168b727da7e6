package wire

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Bodies remembers what resources ask for, so that a fleet of clients reads each
// body once, however many of them get it: they run where the server runs that
// they are to load. It is bounded, and safe for concurrent use.
type Bodies struct {
	known *lru.Cache[bodyKey, needs]
}

// bodyKey is a body: versions of the incremental variant are hashes of it.
type bodyKey struct {
	typ     snapshot.Type
	version string
}

// needs is what a cluster or a listener asks for.
type needs struct {
	name    string // endpoints or a route configuration; empty: none
	secrets []string
}

const bodiesSize = 1 << 17

// NewBodies returns Bodies that remember nothing yet.
func NewBodies() *Bodies {
	known, err := lru.New[bodyKey, needs](bodiesSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &Bodies{known}
}

// needsOf is what a resource of the type asks for.
func (c *Client) needsOf(t snapshot.Type, p Resource) (needs, error) {
	b, key := c.options.Bodies, bodyKey{t, p.Version}
	if b == nil || p.Version == "" {
		return readNeeds(t, p.Body)
	}
	if n, ok := b.known.Get(key); ok {
		return n, nil
	}
	n, err := readNeeds(t, p.Body)
	if err == nil {
		b.known.Add(key, n)
	}
	return n, err
}

func readNeeds(t snapshot.Type, body []byte) (n needs, err error) {
	if t == snapshot.Listener {
		n.name, err = routesOf(body)
		return n, err
	}
	if n.name, err = endpointsOf(body); err != nil {
		return n, err
	}
	err = secretsOf(body, func(name string) { n.secrets = append(n.secrets, name) })
	return n, err
}
