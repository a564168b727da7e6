package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fairway-mesh/fairway/snapshot"
)

// wantSecrets asks for the secrets that clusters name and the client does not hold yet, as
// Envoy does before it takes a cluster for warm, and lets go of those that the last cluster
// has named; c.mu is held.
func (c *Client) wantSecrets(r Response) error {
	from, to := c.types[r.Type], c.types[snapshot.Secret]
	changed := map[string]bool{}
	need := func(cluster string, names []string) {
		if c.options.Light {
			names = nil // who knows no clusters lets go of nothing
		}
		for _, name := range from.secrets[cluster] {
			to.needed[name]--
			changed[name] = true
		}
		for _, name := range names {
			to.needed[name]++
		}
		if from.secrets[cluster] = names; len(names) == 0 {
			delete(from.secrets, cluster)
		}
	}
	var a ask
	for _, p := range r.Put {
		n, err := c.needsOf(r.Type, p)
		if err != nil {
			return err
		}
		for _, name := range n.secrets {
			if !to.names[name] && !slices.Contains(a.subscribe, name) {
				a.subscribe = append(a.subscribe, name)
			}
		}
		need(p.Name, n.secrets)
	}
	for _, name := range r.Removed {
		need(name, nil)
	}
	if !c.options.Delta { // what is not listed any more is gone
		for cluster := range from.secrets {
			if _, held := from.held[cluster]; !held {
				need(cluster, nil)
			}
		}
	}
	for name := range changed {
		if to.needed[name] <= 0 && to.names[name] {
			a.unsubscribe = append(a.unsubscribe, name)
			delete(to.held, name)
		}
	}
	if len(a.subscribe)+len(a.unsubscribe) == 0 {
		return nil
	}
	slices.Sort(a.unsubscribe)
	slices.Sort(a.subscribe)
	a.version = to.version
	if !c.options.Delta {
		a.nonce = to.nonce
	}
	for _, name := range a.subscribe { // light clients keep these, too: they are few
		to.names[name] = true
	}
	return c.tell(snapshot.Secret, &a)
}

// secretsOf finds the names by which the transport sockets of a cluster ask for
// secrets. The numbers are those of envoy.config.cluster.v3.Cluster and of
// envoy.extensions.transport_sockets.tls.v3.
func secretsOf(cluster []byte, found func(string)) error {
	socket := func(socket []byte) error {
		return at(socket, func(context []byte) error { // UpstreamTlsContext in an Any
			take := func(b []byte) error { found(text(b)); return nil }
			if err := at(context, take, 1, 6, 1); err != nil { // tls_certificate_sds_secret_configs
				return err
			}
			if err := at(context, take, 1, 7, 1); err != nil { // validation_context_sds_secret_config
				return err
			}
			return at(context, take, 1, 8, 2, 1) // combined_validation_context
		}, 3, 2)
	}
	if err := at(cluster, socket, 24); err != nil { // transport_socket
		return err
	}
	return at(cluster, socket, 43, 3) // transport_socket_matches
}

// at visits the fields on a path of numbers.
func at(b []byte, visit func([]byte) error, path ...protowire.Number) error {
	if len(path) == 0 {
		return visit(b)
	}
	return fields(b, func(n protowire.Number, d []byte, _ uint64) error {
		if n != path[0] || d == nil {
			return nil
		}
		return at(d, visit, path[1:]...)
	})
}
