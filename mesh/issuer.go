package mesh

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// IssuerKeys are what came of asking an issuer of tokens for its keys, since a
// RequestAuthentication names it and says nothing of its keys. They never change.
type IssuerKeys struct {
	Issuer string
	// Keys are the newest that there were, a JSON Web Key Set (RFC 7517); empty: none yet.
	Keys string
	// Problem is why the newest attempt came to nothing; empty when it did not.
	Problem string
	// Since is when the first of the attempts was made that came to nothing since then.
	Since time.Time
}

// Issuer is an issuer of tokens who has to be asked for its keys.
type Issuer struct {
	Name       string
	Namespaces []string // those whose RequestAuthentications name it, the oldest first
}

const (
	// maxIssuers bounds how many issuers are asked for their keys in all, and
	// maxIssuersEach how many the objects of one namespace may name first.
	maxIssuers     = 500
	maxIssuersEach = 50
	// maxNamers bounds the namespaces that are known of one issuer.
	maxNamers = 64
)

// issuerAlone is the issuer of a rule that says nothing of its keys; "" for others.
func issuerAlone(r *security.JWTRule) string {
	if r.GetJwks() != "" || r.GetJwksUri() != "" {
		return ""
	}
	return r.GetIssuer()
}

// CheckIssuer says why nobody can ask an issuer for its keys; nil when its name is the
// address that OpenID Connect Discovery 1.0, section 4, asks it to be.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(issuer, "?#") || len(issuer) > 2048 {
		return fmt.Errorf("issuer %q is no https URL that could be asked for its keys: write the keys to jwks, or their address to jwksUri", object.Shortened(issuer))
	}
	return nil
}

// Issuers are those who have to be asked for their keys, the ones of the oldest objects
// first. Findings tell which are too many.
func (w *World) Issuers() (out []Issuer, findings []object.Finding) {
	if w.Config.IssuerKeysWritten {
		return nil, nil
	}
	all := slices.Collect(w.RequestAuthentications.All())
	slices.SortFunc(all, func(a, b *RequestAuthentication) int { return object.Older(a.Created, a.Ref, b.Created, b.Ref) })
	taken, payers := map[string]int{}, map[string]int{}
	for _, p := range all {
		for i, rule := range p.Spec.GetJwtRules() {
			issuer := issuerAlone(rule)
			if issuer == "" || CheckIssuer(issuer) != nil {
				continue
			}
			if at, again := taken[issuer]; again {
				out[at].named(p.Namespace)
				continue
			}
			if payers[p.Namespace] == maxIssuersEach || len(out) == maxIssuers {
				findings = append(findings, object.Finding{Object: p.Ref, Field: fmt.Sprintf("spec.jwtRules[%d]", i), Code: object.CodeKeysUnknown, Message: fmt.Sprintf(
					"issuer %q is not asked for its keys, since %d of the namespace, or %d in all, are asked already; every token of it is refused: set jwksUri, or write the keys to jwks", issuer, maxIssuersEach, maxIssuers)})
				continue
			}
			taken[issuer] = len(out)
			payers[p.Namespace]++
			out = append(out, Issuer{issuer, []string{p.Namespace}})
		}
	}
	return out, findings
}

// named notes that an object of the namespace names the issuer.
func (i *Issuer) named(namespace string) {
	if len(i.Namespaces) < maxNamers && !slices.Contains(i.Namespaces, namespace) {
		i.Namespaces = append(i.Namespaces, namespace)
	}
}

// IssuerKeys are what came of asking an issuer; nil: it has not been asked yet.
func (w *World) IssuerKeys(issuer string) *IssuerKeys {
	k, _ := w.issuers.Get(issuer)
	return k
}

// IssuersOf are what came of asking the issuers of policies that say nothing of the keys.
func (w *World) IssuersOf(policies []*RequestAuthentication) List[*IssuerKeys] {
	var out []*IssuerKeys
	for _, p := range policies {
		for _, rule := range p.Spec.GetJwtRules() {
			if k := w.IssuerKeys(issuerAlone(rule)); k != nil && !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	return ListOf(out...)
}

// issuerKeys takes in what came of asking an issuer; nil: nobody asks it any more.
func (b *builder) issuerKeys(ref object.Ref, k *IssuerKeys) {
	if k == nil {
		b.world.issuers = b.world.issuers.Delete(ref.Name)
	} else {
		b.world.issuers = b.world.issuers.Set(ref.Name, k)
	}
	for p := range b.world.RequestAuthentications.All() {
		if slices.ContainsFunc(p.Spec.GetJwtRules(), func(r *security.JWTRule) bool { return issuerAlone(r) == ref.Name }) {
			b.dirtyInbound(p.Namespace)
			b.dirty.Gateways = true
		}
	}
}

// NoKeysFrom says why the control plane asks nobody at the address for keys, since it may
// reach what tenants may not; "" when it does. Addresses that the mesh setting
// issuerAddresses names are allowed whatever they are.
func (w *World) NoKeysFrom(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	for _, p := range prefixes(w.Config.IssuerAddresses) {
		if p.Contains(a) {
			return ""
		}
	}
	if why := insideAddress(a); why != "" {
		return why
	}
	for _, x := range append(embedded(a), a) {
		_, node := w.nodeAddresses[x]
		switch {
		case x.IsPrivate(), sharedAddresses.Contains(x):
			return "an address of a private network"
		case node, w.ofCluster(x):
			return "an address of the cluster"
		case slices.ContainsFunc(unusedAddresses, func(p netip.Prefix) bool { return p.Contains(x) }):
			return "no public address"
		}
	}
	if !a.IsGlobalUnicast() {
		return "no public address"
	}
	return ""
}

// ofCluster tells whether an address is that of a Service or Pod of Kubernetes. What tenants
// write by themselves, ServiceEntries and WorkloadEntries, makes no address the cluster's:
// they could keep others' issuers from being asked.
func (w *World) ofCluster(a netip.Addr) bool {
	if x := w.WorkloadAt(a); x != nil && x.Ref.Kind == object.KindPod {
		return true
	}
	owners, _ := w.vips.Get(a.String())
	return slices.ContainsFunc(owners, func(name string) bool {
		h := w.Host(name)
		return h != nil && slices.ContainsFunc(h.Services, (*registry.Service).Kubernetes)
	})
}

// sharedAddresses are those of RFC 6598, which clusters use as if they were private.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// unusedAddresses are those that nobody has on the internet, by the registries of special
// addresses (RFC 6890), beside what package net/netip tells. Networks that use them all the
// same are private.
var unusedAddresses = []netip.Prefix{
	netip.MustParsePrefix("192.0.0.0/24"),    // protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documents
	netip.MustParsePrefix("198.18.0.0/15"),   // measuring
	netip.MustParsePrefix("198.51.100.0/24"), // documents
	netip.MustParsePrefix("203.0.113.0/24"),  // documents
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved
	netip.MustParsePrefix("100::/64"),        // to be thrown away
	netip.MustParsePrefix("2001:db8::/32"),   // documents
	netip.MustParsePrefix("3fff::/20"),       // documents
	netip.MustParsePrefix("5f00::/16"),       // segment routing
	netip.MustParsePrefix("fec0::/10"),       // of a site, formerly
}

// prefixes reads a list of prefixes of addresses ("10.0.0.0/8, 192.0.2.1/32"), without
// what is none.
func prefixes(list string) (out []netip.Prefix) {
	for text := range strings.SplitSeq(list, ",") {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}
