package discovery

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// connCredentials are the server's credentials of one listener. They remember
// the connection with each peer, since a stream that does not take what it is
// sent can only be ended by closing that.
type connCredentials struct {
	credentials.TransportCredentials
	server  *Server
	records bool // of TLS
}

func newCredentials(server *Server, config *tls.Config) connCredentials {
	if config == nil {
		return connCredentials{TransportCredentials: insecure.NewCredentials(), server: server}
	}
	return connCredentials{TransportCredentials: credentials.NewTLS(config), server: server, records: true}
}

// connInfo is the AuthInfo of a connection together with the connection.
type connInfo struct {
	credentials.AuthInfo
	conn  net.Conn
	meter *meter
}

// ServerHandshake implements credentials.TransportCredentials.
func (c connCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	below := raw
	if c.records {
		below = &recordConn{Conn: raw}
	}
	conn, info, err := c.TransportCredentials.ServerHandshake(below)
	if err != nil {
		return nil, nil, err
	}
	m := newMeter(conn, c.server.ledger, c.server.config.silentFor(), c.server.reached)
	return m, connInfo{AuthInfo: info, conn: raw, meter: m}, nil
}

// Clone implements credentials.TransportCredentials.
func (c connCredentials) Clone() credentials.TransportCredentials {
	return connCredentials{TransportCredentials: c.TransportCredentials.Clone(), server: c.server, records: c.records}
}

// openConn returns the connection of a stream, the address of its peer, and a
// context in which the peer is as other credentials would show it.
func openConn(ctx context.Context) (context.Context, connInfo, string) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, connInfo{}, ""
	}
	info, ok := p.AuthInfo.(connInfo)
	if !ok {
		return ctx, connInfo{}, p.Addr.String()
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: p.Addr, LocalAddr: p.LocalAddr, AuthInfo: info.AuthInfo}), info, p.Addr.String()
}
