package security

import (
	"errors"
	"fmt"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// keysUnknown says why the keys of an issuer are not known, or not the newest: what
// Istio's API allows, and what does not make an object invalid.
type keysUnknown struct {
	code object.Code
	error
}

// discovered are the keys of an issuer that a rule names alone. They are empty when there
// are none; an error beside them says that there may be newer ones.
func discovered(issuer string, in JWTInput) (string, error) {
	if in.Config != nil && in.Config.IssuerKeysWritten {
		return "", keysUnknown{object.CodeUnsupported, errors.New("the issuer alone is given, and the mesh setting issuerKeys says that nobody asks it for its keys: set jwksUri to what its /.well-known/openid-configuration says as jwks_uri, or write the keys to jwks")}
	}
	if err := mesh.CheckIssuer(issuer); err != nil {
		return "", keysUnknown{object.CodeUnsupported, err}
	}
	for _, k := range in.Issuers.Slice() {
		switch {
		case k.Issuer != issuer:
		case k.Problem == "":
			return k.Keys, nil
		case k.Keys != "":
			return k.Keys, keysUnknown{object.CodeKeysUnknown, fmt.Errorf("since %s the control plane gets no keys of issuer %q: %s; those that it had stay in force, and it asks again: mend that, set jwksUri, or write the keys to jwks",
				k.Since.UTC().Format(time.RFC3339), issuer, k.Problem)}
		default:
			return "", keysUnknown{object.CodeKeysUnknown, fmt.Errorf("since %s the control plane gets no keys of issuer %q: %s; it asks again: mend that, set jwksUri, or write the keys to jwks",
				k.Since.UTC().Format(time.RFC3339), issuer, k.Problem)}
		}
	}
	return "", keysUnknown{object.CodeNotLookedUp, errors.New("the issuer has not been asked for its keys, which a running control plane does by itself")}
}
