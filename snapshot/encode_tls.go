package snapshot

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of envoy.extensions.transport_sockets.tls.v3. UpstreamTlsContext and
// DownstreamTlsContext have the common settings under one number.
const (
	fieldCommonTLS = 1

	fieldCertificateSecret = 6 // CommonTlsContext
	fieldValidationSecret  = 7
	fieldCombined          = 8

	fieldCombinedSecret = 2 // CommonTlsContext.CombinedCertificateValidationContext
)

// socket adds the secrets that a transport socket asks for.
func (n *needs) socket(socket *corev3.TransportSocket) {
	config := socket.GetTypedConfig()
	var proxied proxyprotocolv3.ProxyProtocolUpstreamTransport
	switch {
	case config.MessageIs((*tlsv3.UpstreamTlsContext)(nil)), config.MessageIs((*tlsv3.DownstreamTlsContext)(nil)):
		if err := n.tls(config.GetValue()); err != nil {
			n.err = fmt.Errorf("decoding %s: %w", config.GetTypeUrl(), err)
		}
	case n.open(config, &proxied):
		n.socket(proxied.GetTransportSocket())
	}
}

// tls adds the secrets of encoded TLS settings. It passes over all else there, and above all
// over the names that the other side may have: many clusters may have the same long list.
func (n *needs) tls(settings []byte) error {
	secret := func(encoded []byte) error {
		var s tlsv3.SdsSecretConfig
		if err := proto.Unmarshal(encoded, &s); err != nil {
			return err
		}
		n.add(Secret, s.GetName(), s.GetSdsConfig())
		return nil
	}
	return eachMessage(settings, func(field protowire.Number, common []byte) error {
		if field != fieldCommonTLS {
			return nil
		}
		return eachMessage(common, func(field protowire.Number, value []byte) error {
			switch field {
			case fieldCertificateSecret, fieldValidationSecret:
				return secret(value)
			case fieldCombined:
				return eachMessage(value, func(field protowire.Number, value []byte) error {
					if field == fieldCombinedSecret {
						return secret(value)
					}
					return nil
				})
			}
			return nil
		})
	})
}

// eachMessage calls f with the fields of an encoded message that have a length.
func eachMessage(encoded []byte, f func(field protowire.Number, value []byte) error) error {
	for len(encoded) > 0 {
		field, kind, n := protowire.ConsumeTag(encoded)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(field, kind, encoded[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(encoded[n:])
			if err := f(field, value); err != nil {
				return err
			}
		}
		encoded = encoded[n+size:]
	}
	return nil
}
