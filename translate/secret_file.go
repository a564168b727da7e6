package translate

import (
	"cmp"
	"net/url"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Files of the proxy reach its listeners and clusters by secrets that name them. A
// listener or cluster that named a file itself would be refused where the file is
// not there, and with it what others have on the listener; a secret is refused
// alone, and Envoy follows its files.
const (
	certificateFileScheme = "file-cert:" // certificate~key
	rootFileScheme        = "file-root:" // roots, or roots~revoked
)

// certificateFiles is the SDS name of a certificate and a key in files.
func certificateFiles(certificate, key string) string {
	return certificateFileScheme + url.QueryEscape(certificate) + "~" + url.QueryEscape(key)
}

// rootFiles is the SDS name of roots, and a list of revoked certificates ("": none),
// in files.
func rootFiles(roots, revoked string) string {
	name := rootFileScheme + url.QueryEscape(roots)
	if revoked != "" {
		name += "~" + url.QueryEscape(revoked)
	}
	return name
}

// FileSecret is the secret of an SDS name that stands for files; nil for other
// names. It is the same for every proxy, whose own files are meant.
func FileSecret(name string) *tlsv3.Secret {
	if paths, ok := strings.CutPrefix(name, certificateFileScheme); ok {
		certificate, key := twoFiles(paths)
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: certificate, PrivateKey: key}}}
	}
	paths, ok := strings.CutPrefix(name, rootFileScheme)
	if !ok {
		return nil
	}
	v := &tlsv3.CertificateValidationContext{}
	v.TrustedCa, v.Crl = twoFiles(paths)
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}}
}

// twoFiles reads what stands behind the scheme of an SDS name; the second may be
// missing.
func twoFiles(paths string) (first, second *corev3.DataSource) {
	one, two, both := strings.Cut(paths, "~")
	first = resource.FileSource(unescaped(one))
	if both {
		second = resource.FileSource(unescaped(two))
	}
	return first, second
}

func unescaped(path string) string {
	out, err := url.QueryUnescape(path)
	if err != nil { // it was not escaped here
		return path
	}
	return out
}

// systemRootsSecret is the SDS name of the roots in the proxy's image.
var systemRootsSecret = rootFiles(resource.SystemRootsFile, "")

// clientFiles are the SDS names of the files that TLS settings of a client name; without
// any for roots, those of the proxy's image.
func clientFiles(t *networking.ClientTLSSettings) (certificate, roots string) {
	if t.GetMode() == networking.ClientTLSSettings_MUTUAL && t.ClientCertificate != "" && t.PrivateKey != "" {
		certificate = certificateFiles(t.ClientCertificate, t.PrivateKey)
	}
	if t.GetMode() != networking.ClientTLSSettings_SIMPLE && t.GetMode() != networking.ClientTLSSettings_MUTUAL {
		return certificate, ""
	}
	ca := t.GetCaCertificates()
	if ca == systemRoots {
		ca = ""
	}
	return certificate, rootFiles(cmp.Or(ca, resource.SystemRootsFile), t.GetCaCrl())
}

// FileSecrets are the SDS secrets of files that clusters under the rule ask for;
// none without a rule.
func FileSecrets(rule *traffic.DestinationRule) (uses []SecretUse) {
	eachClientTLS(rule, func(t *networking.ClientTLSSettings) {
		certificate, roots := clientFiles(t)
		for _, name := range []string{certificate, roots} {
			if name != "" {
				uses = append(uses, SecretUse{Name: name, By: rule.Ref(), Since: rule.Created})
			}
		}
	})
	return uses
}
