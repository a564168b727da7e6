package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// maxToken bounds the length of a token in bytes; a projected one has about
// 1,000.
const maxToken = 16 << 10

// token is a bearer token. However it is printed, it does not show.
type token string

// String shows nothing of the token.
func (token) String() string { return "[token]" }

// parseAuthorization reads an authorization header: "Bearer TOKEN" (RFC 6750),
// or the bare token as Envoys older than 1.38 send it.
func parseAuthorization(values []string) (token, error) {
	if len(values) == 0 {
		return "", &Refusal{ReasonNoCredential, "no token: mount one with audience fairway and send it as authorization: Bearer TOKEN"}
	}
	if len(values) > 1 {
		return "", &Refusal{ReasonMalformed, "more than one authorization header"}
	}
	text := strings.TrimSpace(values[0])
	if scheme, rest, ok := strings.Cut(text, " "); ok {
		if !strings.EqualFold(scheme, "bearer") {
			return "", &Refusal{ReasonMalformed, "the authorization header has a scheme other than Bearer"}
		}
		text = strings.TrimSpace(rest)
	}
	switch {
	case text == "" || strings.EqualFold(text, "bearer"):
		return "", &Refusal{ReasonNoCredential, "the authorization header holds no token: is the token's file empty?"}
	case len(text) > maxToken:
		return "", &Refusal{ReasonMalformed, "the token is too long"}
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", &Refusal{ReasonMalformed, "the token holds characters that no token has"}
	}
	return token(text), nil
}

// claims is the part of a JWT that says, before anybody has verified it, that
// asking the API server is of no use.
type claims struct {
	Audience audience `json:"aud"`
	Expires  float64  `json:"exp"` // seconds since 1970
	// Kubernetes is what the API server says of whom a token is bound to.
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Pod       struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// audience is a string or a list of them (RFC 7519, 4.1.3).
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if json.Unmarshal(text, &many) != nil {
		return errors.New("neither a string nor a list of strings")
	}
	*a = many
	return nil
}

func (c claims) expires() time.Time { return time.Unix(int64(c.Expires), 0) }

// parseClaims reads the payload of a JWT without verifying it. Its errors hold
// nothing of the token.
func parseClaims(t token) (claims, error) {
	parts := strings.Split(string(t), ".")
	malformed := &Refusal{ReasonMalformed, "the token is no ServiceAccount token (a JWT): mount a projected one"}
	if len(parts) != 3 {
		return claims{}, malformed
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims{}, malformed
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil || c.Expires < 0 || c.Expires > 1e11 {
		return claims{}, malformed
	}
	return c, nil
}

// useless says why nobody needs to verify the claims; nil when somebody does.
func (c claims) useless(audiences []string, now time.Time) error {
	if !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(c.Audience, a) }) {
		return &Refusal{ReasonAudience, "the token is for another audience: mount one with audience " + strings.Join(audiences, " or ")}
	}
	if c.Expires == 0 {
		return &Refusal{ReasonNotBound, "the token never expires: mount a projected one"}
	}
	if !now.Before(c.expires()) {
		return &Refusal{ReasonExpired, "the token has expired: the proxy must read it anew from its volume"}
	}
	return nil
}
