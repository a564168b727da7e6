package identity

import (
	"fmt"
	"net/url"
	"strings"
)

// ID is a workload's identity in SPIFFE's terms. It is comparable; the zero ID
// is nobody.
type ID struct {
	TrustDomain    string // MeshConfig.trustDomain, "cluster.local"
	Namespace      string
	ServiceAccount string
}

// String is the SPIFFE id, spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT.
func (i ID) String() string {
	return "spiffe://" + i.TrustDomain + "/ns/" + i.Namespace + "/sa/" + i.ServiceAccount
}

// ParseID reads what String writes, and nothing else.
func ParseID(s string) (ID, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return ID{}, fmt.Errorf("SPIFFE id %q: want spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT", s)
	}
	id := ID{parts[0], parts[2], parts[4]}
	return id, id.validate()
}

func (i ID) url() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: i.TrustDomain, Path: "/ns/" + i.Namespace + "/sa/" + i.ServiceAccount}
}

// validate holds the id to the characters of the SPIFFE specification (2.1 and
// 2.2), which have only one way to be written in a URI.
func (i ID) validate() error {
	if len(i.TrustDomain) > 255 || !only(i.TrustDomain, isTrustDomain) {
		return fmt.Errorf("trust domain %q: want lower-case letters, digits, dots, dashes and underscores: set MeshConfig.trustDomain", i.TrustDomain)
	}
	for _, p := range []struct{ what, value string }{{"namespace", i.Namespace}, {"service account", i.ServiceAccount}} {
		if len(p.value) > 253 || !only(p.value, isName) || strings.Trim(p.value, ".") == "" {
			return fmt.Errorf("%s %q cannot be part of a SPIFFE id", p.what, p.value)
		}
	}
	return nil
}

// Workload is what one certificate is about: the identity, and what the Subject
// tells about the workload behind it. It is comparable; proxies of equal
// Workloads share a certificate.
type Workload struct {
	ID       ID
	Name     string // of the Deployment, StatefulSet, ...; may be empty
	App      string // canonical service name; may be empty
	Revision string // canonical revision; may be empty
}

// String names the identity and the workload.
func (w Workload) String() string {
	if w.Name == "" {
		return w.ID.String()
	}
	return w.ID.String() + " (" + w.Name + ")"
}

func (w Workload) validate() error {
	if err := w.ID.validate(); err != nil {
		return err
	}
	for _, p := range []struct{ what, value string }{{"workload", w.Name}, {"app", w.App}, {"revision", w.Revision}} {
		if len(p.value) > 253 || p.value != "" && !only(p.value, isName) {
			return fmt.Errorf("%s %q of %s cannot be part of a certificate's Subject: want letters, digits, dots, dashes and underscores", p.what, p.value, w.ID)
		}
	}
	return nil
}

func only(s string, ok func(c byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTrustDomain(c byte) bool { return isName(c) && (c < 'A' || c > 'Z') }

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
}
