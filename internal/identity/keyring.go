package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Entries of the stored keyring. The first three are for people and tools that
// look for them there.
const (
	entryCert     = "ca-cert.pem"   // the self-signed root that signs
	entryKey      = "ca-key.pem"    // its key
	entryBundle   = "root-cert.pem" // all roots that are trusted; written, never read
	entryNextCert = "next-cert.pem" // a root that is trusted and does not sign yet
	entryNextKey  = "next-key.pem"
	entryNextFrom = "next-signs-from" // RFC 3339
	entryTrusted  = "trusted.pem"     // further roots, one after the other
	entryTimes    = "trusted-times"   // for each of them a line: since until
)

// keyring is what all replicas share about roots. It never changes; advance
// makes the next one.
type keyring struct {
	lineage
	own     *signer // self-signed; nil when an authority is plugged in from the beginning
	next    *signer // follows own; nil most of the time
	from    time.Time
	trusted []trusted
	mended  Mended
}

// trusted is a root that is or was in use elsewhere: plugged in, or retired.
type trusted struct {
	cert  *x509.Certificate
	since time.Time // when it was first distributed
	until time.Time // when the last certificate under it has expired
}

// terms are the durations that advance keeps.
type terms struct {
	rootLife, leafLife, overlap time.Duration
}

// renewal is how long before its end a root is to be succeeded.
func (t terms) renewal() time.Duration { return max(t.rootLife/5, 2*(t.leafLife+t.overlap)) }

// retention is how long a root stays trusted after it was last used: as long as
// what it signed, and what a replica that is late still signs.
func (t terms) retention() time.Duration { return t.leafLife + t.overlap }

func (k *keyring) roots() []*x509.Certificate {
	var out []*x509.Certificate
	for _, s := range []*signer{k.own, k.next} {
		if s != nil {
			out = append(out, s.cert)
		}
	}
	for _, t := range k.trusted {
		out = append(out, t.cert)
	}
	return out
}

// distributed says whether one of the roots has been trusted for at least d.
func (k *keyring) distributed(roots []*x509.Certificate, now time.Time, d time.Duration) bool {
	for _, t := range k.trusted {
		if contains(roots, t.cert) && now.Sub(t.since) >= d {
			return true
		}
	}
	return false
}

// advance is the keyring as it should be now, and whether that differs. With
// force the succession of the own root begins although it is not due.
func (k *keyring) advance(p *pluggedIn, now time.Time, t terms, force bool) (*keyring, bool, error) {
	n := &keyring{lineage: k.newer(), own: k.own, next: k.next, from: k.from, mended: k.mended}
	changed := n.keepTrusted(k, p, now, t) || k.origin == "" && !k.empty()
	switch {
	case p != nil && n.own != nil && k.distributed(p.signer.anchors, now, t.overlap):
		// What is plugged in signs by now: the own root's key has no use left.
		n.trusted = append(n.trusted, trusted{n.own.cert, n.own.cert.NotBefore, now.Add(t.retention())})
		n.own, n.next, n.from = nil, nil, time.Time{}
	case n.next != nil && !now.Before(n.from):
		if n.own != nil {
			n.trusted = append(n.trusted, trusted{n.own.cert, n.own.cert.NotBefore, now.Add(t.retention())})
		}
		n.own, n.next, n.from = n.next, nil, time.Time{}
	case n.next != nil || n.own == nil && (p != nil || len(n.trusted) > 0 && !force):
		// What was plugged in and is gone is not replaced before somebody says so.
		return n, changed, nil
	case n.own == nil || force || !now.Before(n.own.cert.NotAfter.Add(-t.renewal())):
		root, err := newRoot(t.rootLife)
		if err != nil {
			return nil, false, err
		}
		if n.own == nil && len(n.trusted) == 0 {
			n.own = root // nobody has to be told first
			break
		}
		n.next, n.from = root, now.Add(t.overlap)
		if n.own == nil { // the one that signs until then is among those
			n.prolong(n.from.Add(t.retention()))
		}
	default:
		return n, changed, nil
	}
	return n, true, nil
}

// prolong keeps all that is trusted until then at least.
func (k *keyring) prolong(until time.Time) {
	for i, t := range k.trusted {
		if t.until.Before(until) {
			k.trusted[i].until = until
		}
	}
}

// needed are the roots under which certificates may live.
func (k *keyring) needed(now time.Time) []*x509.Certificate {
	var out []*x509.Certificate
	for _, s := range []*signer{k.own, k.next} {
		if s != nil {
			out = append(out, s.cert)
		}
	}
	for _, t := range k.trusted {
		if now.Before(t.until) {
			out = append(out, t.cert)
		}
	}
	return out
}

// keepTrusted fills n.trusted: those of k whose time has not passed, and the
// roots that are plugged in, which stay as long as they are.
func (n *keyring) keepTrusted(k *keyring, p *pluggedIn, now time.Time, t terms) (changed bool) {
	for _, old := range k.trusted {
		if p != nil && contains(p.roots, old.cert) && old.until.Sub(now) < t.retention()/2+t.overlap {
			old.until, changed = now.Add(t.retention()+t.overlap), true
		}
		if now.Before(old.until) {
			n.trusted = append(n.trusted, old)
		} else {
			changed = true
		}
	}
	if p == nil {
		return changed
	}
	for _, r := range p.roots {
		if !contains(n.roots(), r) {
			n.trusted, changed = append(n.trusted, trusted{r, now, now.Add(t.retention() + t.overlap)}), true
		}
	}
	return changed
}

func (k *keyring) encode() map[string][]byte {
	data := map[string][]byte{entryBundle: encodeCertificates(sortedSet(k.roots()))}
	if k.own != nil {
		data[entryCert], data[entryKey] = encodeCertificates([]*x509.Certificate{k.own.cert}), k.own.key.PEM()
	}
	if k.next != nil {
		data[entryNextCert], data[entryNextKey] = encodeCertificates([]*x509.Certificate{k.next.cert}), k.next.key.PEM()
		data[entryNextFrom] = []byte(k.from.UTC().Format(time.RFC3339))
	}
	var times string
	for _, t := range k.trusted {
		data[entryTrusted] = append(data[entryTrusted], encodeCertificates([]*x509.Certificate{t.cert})...)
		times += t.since.UTC().Format(time.RFC3339) + " " + t.until.UTC().Format(time.RFC3339) + "\n"
	}
	if k.origin != "" {
		data[entryLineage] = k.lineage.encode()
	}
	if k.mended.Fault != "" {
		data[entryMended] = k.mended.encode()
	}
	if times != "" {
		data[entryTimes] = []byte(times)
	}
	return data
}

// decodeKeyring reads what encode wrote. Its errors name the entry and hold
// nothing of its text.
func decodeKeyring(data map[string][]byte) (*keyring, error) {
	k := &keyring{}
	var err error
	if k.lineage, err = decodeLineage(data[entryLineage]); err != nil {
		return nil, err
	}
	k.mended = decodeMended(data[entryMended])
	if k.own, err = decodeRoot(data, entryCert, entryKey); err != nil {
		return nil, err
	}
	if k.next, err = decodeRoot(data, entryNextCert, entryNextKey); err != nil {
		return nil, err
	}
	if k.next != nil {
		if k.from, err = time.Parse(time.RFC3339, string(data[entryNextFrom])); err != nil {
			return nil, fmt.Errorf("%s: want a time such as 2006-01-02T15:04:05Z", entryNextFrom)
		}
	}
	if len(data[entryTrusted]) == 0 {
		return k, nil
	}
	certs, err := parseCertificates(data[entryTrusted])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", entryTrusted, err)
	}
	k.trusted, err = decodeTimes(certs, string(data[entryTimes]))
	return k, err
}

func decodeRoot(data map[string][]byte, certName, keyName string) (*signer, error) {
	if len(data[certName]) == 0 && len(data[keyName]) == 0 {
		return nil, nil
	}
	certs, err := parseCertificates(data[certName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certName, err)
	}
	key, err := parseKey(data[keyName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyName, err)
	}
	if !samePublic(certs[0], key) {
		return nil, fmt.Errorf("%s is not the key of %s", keyName, certName)
	}
	if !certs[0].IsCA || !isRoot(certs[0]) {
		return nil, fmt.Errorf("%s is not a self-signed root: plug an intermediate in by the Secret cacerts instead", certName)
	}
	return rootSigner(certs[0], key), nil
}

var errTimes = errors.New(entryTimes + ": want a line with two RFC 3339 times for each certificate of " + entryTrusted)

func decodeTimes(certs []*x509.Certificate, text string) ([]trusted, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != len(certs) {
		return nil, errTimes
	}
	out := make([]trusted, 0, len(certs))
	for i, c := range certs {
		since, until, _ := strings.Cut(lines[i], " ")
		from, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return nil, errTimes
		}
		to, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return nil, errTimes
		}
		out = append(out, trusted{c, from, to})
	}
	return out, nil
}
