package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// told reads the roots that proxies were told to trust, and where. What holds no
// certificate tells nothing.
func (o Options) told(ctx context.Context) (roots []*x509.Certificate, where []string, err error) {
	if o.Told == nil {
		return nil, nil, nil
	}
	texts, err := o.Told(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, place := range slices.Sorted(maps.Keys(texts)) {
		list, err := parseCertificates(texts[place])
		if err != nil {
			continue
		}
		roots, where = append(roots, list...), append(where, place)
	}
	return sortedSet(roots), where, nil
}

// believed says whether a replica that starts may sign: proxies were told of the
// root, or of none, or what is stored knows what they were told. What proxies
// trust beyond what is stored, as after an old backup was restored, is adopted.
func (a *Authority) believed(ctx context.Context, k *keyring, p *pluggedIn) error {
	roots, where, err := a.options.told(ctx)
	if err != nil {
		return err
	}
	var known []*x509.Certificate
	if k != nil {
		known = k.roots()
	}
	if p != nil {
		known = append(known, p.roots...)
	}
	unknown := slices.DeleteFunc(slices.Clone(roots), func(r *x509.Certificate) bool { return contains(known, r) })
	const remedy = "a control plane that still runs puts that back; else restore it from a backup, or, when its key is lost, make another with `fairway ca rotate --lost`"
	switch {
	case p != nil && len(roots) > 0 && !slices.ContainsFunc(p.signer.anchors, func(r *x509.Certificate) bool { return contains(roots, r) }):
		// Its key is all there is to sign with: nobody has the former one any more.
		a.options.Log.Error("what is plugged in was replaced while no control plane ran, and signs from now on: proxies that have come back and proxies that have not do not trust each other meanwhile",
			"where", a.options.PluggedInName, "signing", names(p.signer.anchors), "trusted so far", names(roots), "told by", strings.Join(where, ", "),
			"remedy", "nothing, when that was meant; the next time replace it while a control plane runs, which has proxies trust the new root first")
	case p != nil:
	case k.empty() && len(roots) > 0:
		return fmt.Errorf("%s holds no root, and proxies trust %s (%s): %s", a.options.Storage, names(roots), strings.Join(where, ", "), remedy)
	case k.empty() && a.options.Existing:
		return fmt.Errorf("%s holds no root", a.options.Storage)
	case k != nil && k.own != nil && len(unknown) > 0 && !contains(roots, k.own.cert):
		return fmt.Errorf("%s holds the root %s, and proxies trust %s (%s): %s",
			a.options.Storage, names([]*x509.Certificate{k.own.cert}), names(roots), strings.Join(where, ", "), remedy)
	}
	a.adopt(unknown)
	return nil
}

// adopt keeps roots trusted as long as certificates under them may live.
func (a *Authority) adopt(roots []*x509.Certificate) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adopted = nil
	for _, r := range roots {
		a.adopted = append(a.adopted, trusted{r, now, now.Add(a.options.terms().retention())})
	}
}

// adoptedBeside are the adopted roots that the keyring does not have and whose
// time has not passed.
func (a *Authority) adoptedBeside(k *keyring, now time.Time) []trusted {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []trusted
	for _, t := range a.adopted {
		if now.Before(t.until) && !contains(k.roots(), t.cert) {
			out = append(out, t)
		}
	}
	return out
}

// names are the beginnings of fingerprints, as `fairway ca` shows them; of many
// roots the first ones.
func names(roots []*x509.Certificate) string {
	const shown = 3
	var out []string
	for _, r := range roots[:min(len(roots), shown)] {
		out = append(out, fingerprint(r)[:16])
	}
	if len(roots) > shown {
		out = append(out, fmt.Sprintf("and %d more", len(roots)-shown))
	}
	return strings.Join(out, ", ")
}

// ReplaceLost makes a root in place of one whose key is lost, for control planes
// that cannot start without it. What proxies were told to trust stays trusted as
// long as certificates under it may live. The new root signs as soon as a control
// plane starts: proxies that have not come to it yet do not trust those that
// have. An error where nothing is lost.
func ReplaceLost(ctx context.Context, o Options) error {
	a, err := New(o)
	if err != nil {
		return err
	}
	broken, p := a.readPluggedIn(ctx), a.plugged
	if broken != nil || p != nil {
		return errors.Join(broken, fmt.Errorf("making another root: %s signs: mend it there", a.options.PluggedInName))
	}
	s, err := a.read(ctx)
	if err != nil {
		return err
	}
	if s.keyring != nil && s.keyring.own != nil && a.believed(ctx, s.keyring, nil) == nil {
		return fmt.Errorf("making another root: nothing is lost: %s holds the root that proxies trust: use `fairway ca rotate`", a.options.Storage)
	}
	roots, _, err := a.options.told(ctx)
	if err != nil {
		return err
	}
	if s.keyring != nil && s.keyring.own == nil {
		roots = append(roots, s.keyring.roots()...)
	}
	t, now := a.options.terms(), time.Now()
	n := &keyring{lineage: lineage{}.newer()}
	if n.own, err = newRoot(t.rootLife); err != nil {
		return err
	}
	for _, r := range sortedSet(roots) {
		n.trusted = append(n.trusted, trusted{r, now, now.Add(t.retention())})
	}
	if err := a.options.Storage.Save(ctx, n.encode(), s.version); err != nil {
		return fmt.Errorf("making another root: %w", err)
	}
	return nil
}
