package bootstrap

import (
	"fmt"
	"path"
)

// DefaultCredentialDir is where the projected volume with a proxy's credentials
// is mounted.
const DefaultCredentialDir = "/var/run/fairway"

// Files in that directory. The token comes from the kubelet, the rest from a
// ConfigMap; all in one volume, since Envoy watches one directory.
const (
	TokenFile        = "token"
	AuthorityFile    = "ca.crt"
	TokenSDSFile     = "token-sds.yaml"
	AuthoritySDSFile = "ca-sds.yaml"
)

// Names of the secrets within the SDS files.
const (
	tokenSecret     = "xds-token"
	authoritySecret = "xds-ca"
)

// SDSFiles returns the text of the files TokenSDSFile and AuthoritySDSFile for a
// volume mounted at dir (DefaultCredentialDir if empty), keyed by file name.
// They are constant and hold no secret: they only tell Envoy to read, and to
// read again when the kubelet swaps the volume's content, the token and the
// certificates that lie beside them.
func SDSFiles(dir string) map[string]string {
	if dir == "" {
		dir = DefaultCredentialDir
	}
	return map[string]string{
		TokenSDSFile: fmt.Sprintf(`resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: %s
  generic_secret: {secret: {filename: %s, watched_directory: {path: %s}}}
`, tokenSecret, path.Join(dir, TokenFile), dir),
		AuthoritySDSFile: fmt.Sprintf(`resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: %s
  validation_context: {trusted_ca: {filename: %s}, watched_directory: {path: %s}}
`, authoritySecret, path.Join(dir, AuthorityFile), dir),
	}
}
