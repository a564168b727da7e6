package security

import (
	"fmt"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
)

// unusable says what of a rule Envoy would not take, and what to write in its place.
type unusable struct {
	field  string // within the rule, with a leading dot
	wrong  string
	remedy string
}

func (u unusable) Error() string { return u.wrong }

// usable says what of a rule Envoy would not take; nil when it takes all of it.
func usable(r *securityapi.JWTRule) error {
	const header = "use letters, digits and - alone"
	if strings.TrimSpace(r.GetIssuer()) == "" { // Envoy would take tokens of any
		return unusable{".issuer", "the rule names no issuer", "write what the tokens have as iss"}
	}
	for i, h := range r.GetFromHeaders() {
		if !headerName.MatchString(h.GetName()) {
			return unusable{fmt.Sprintf(".fromHeaders[%d].name", i), fmt.Sprintf("%q is no name of a header", h.GetName()), header}
		}
	}
	for i, c := range r.GetOutputClaimToHeaders() {
		if !headerName.MatchString(c.GetHeader()) || c.GetClaim() == "" {
			return unusable{fmt.Sprintf(".outputClaimToHeaders[%d]", i), fmt.Sprintf("claim %q cannot go to header %q", c.GetClaim(), c.GetHeader()), "name both, the header with letters, digits and - alone"}
		}
	}
	if h := r.GetOutputPayloadToHeader(); h != "" && !headerName.MatchString(h) {
		return unusable{".outputPayloadToHeader", fmt.Sprintf("%q is no name of a header", h), header}
	}
	switch {
	case r.GetJwks() != "":
		if wrong := checkKeys(r.GetJwks()); wrong != "" {
			return unusable{".jwks", wrong, "write the set that the issuer publishes, a JSON object with the list keys, or name its address as jwksUri"}
		}
	case r.GetJwksUri() != "":
		if _, _, _, ok := mesh.KeysAddress(r.GetJwksUri()); !ok {
			return unusable{".jwksUri", fmt.Sprintf("jwksUri %q is no http or https URL", r.GetJwksUri()), "write the address of the issuer's keys in full"}
		}
	}
	return nil
}
