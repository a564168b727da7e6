package object

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Authorities are certificates of authorities that objects of a namespace take from
// ConfigMaps, to verify the other side of a connection by. They never change.
type Authorities struct {
	// Name is that of the SDS secret by which proxies get them. It follows from the
	// namespace and the ConfigMaps, and not from what these hold: objects that name the
	// same ones share the secret, and what is written into one changes nothing else.
	Name  string
	Roots []string // in PEM, of one ConfigMap each
	From  []Ref    // the ConfigMaps that are named, whatever they hold
}

// AuthoritiesScheme begins the names of all secrets of authorities.
const AuthoritiesScheme = "authorities:"

// longestAuthorities is how many bytes of ConfigMaps a name lists. Proxies that name more
// than 1 KiB are not heard.
const longestAuthorities = 900

// NewAuthorities are those that objects of a namespace take from ConfigMaps; nil when these
// hold none.
func NewAuthorities(namespace string, from []Ref, roots []string) *Authorities {
	if len(roots) == 0 {
		return nil
	}
	var list strings.Builder
	for i, r := range from {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(r.Namespace + "/" + r.Name)
	}
	name := list.String()
	if len(name) > longestAuthorities {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	return &Authorities{Name: AuthoritiesScheme + namespace + ":" + name, Roots: roots, From: from}
}

// Size is how many bytes of certificates there are; nil has none.
func (a *Authorities) Size() (n int) {
	if a == nil {
		return 0
	}
	for _, r := range a.Roots {
		n += len(r)
	}
	return n
}
