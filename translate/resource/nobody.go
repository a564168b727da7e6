package resource

import corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

// nobodysAuthority is the certificate of an authority that has issued none and never will:
// its key was thrown away.
const nobodysAuthority = `-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUfFv+oUCr9MIL5SVH8FS4ngItV58wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObm9ib2R5LmludmFsaWQwIBcNMjYxMTMwMDkzNjM4WhgPOTk2
NjExMDUwOTM2MzhaMBkxFzAVBgNVBAMMDm5vYm9keS5pbnZhbGlkMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEFc66Evkv1ZrGwLI45ctkhNjg/L1hm+VFfVxC79Vk
inYBIc6jqo+frJwt+kJln84+riKBEq3mczpgE7c5IsYN0aNTMFEwHQYDVR0OBBYE
FLEky5cA+7C3u6aF8nDBgY/xDAI2MB8GA1UdIwQYMBaAFLEky5cA+7C3u6aF8nDB
gY/xDAI2MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAI3pobgO
o+CEwhh8IwouJ8/fMZEy8fF4hMtiSyYAPtc8AiEA02foqHKKj0ABfw7tPDLlPeiB
QnAG8WB5EWkRJVvaagY=
-----END CERTIFICATE-----
`

// NobodysAuthority is an authority of which nobody has a certificate: who trusts it alone
// trusts no one. It stands in the resource itself, so that Envoy never refuses the resource
// for want of a file, and goes on with an older one that verifies nobody.
func NobodysAuthority() *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: nobodysAuthority}}
}
