//go:build linux

package local

import _ "embed"

// gatewayManifest is the ingress gateway of Config.Gateway.
//
//go:embed gateway.yaml
var gatewayManifest []byte
