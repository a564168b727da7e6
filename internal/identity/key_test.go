package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestKeysDoNotShow prints everything that holds a key in every way that code
// prints things.
func TestKeysDoNotShow(t *testing.T) {
	a := open(t, Options{})
	c := issue(t, a)
	source := NewSource(a, SourceOptions{Changed: func(Change) {}, Log: quiet()})
	if _, _, err := source.Acquire(app); err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Key    PrivateKey
		Cert   *Certificate
		hidden PrivateKey
		cert   *Certificate
		value  Certificate
	}
	things := map[string]any{
		"key": c.Key, "&key": &c.Key, "certificate": c, "*certificate": *c,
		"holder": holder{c.Key, c, c.Key, c, *c}, "&holder": &holder{c.Key, c, c.Key, c, *c},
		"list": []any{c.Key, c}, "map": map[string]PrivateKey{"a": c.Key}, "keys": []PrivateKey{c.Key},
		"signer": a.trust.Load().signer, "trust": a.trust.Load(), "zero": PrivateKey{},
	}
	secret := bytes.Split(c.Key.PEM(), []byte("\n"))[1]
	der := bytes.TrimSpace(secret)
	for name, thing := range things {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		fmt.Fprintln(&out, fmt.Errorf("trouble with %v", thing))
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("it", "thing", thing)
		}
		if text, err := json.Marshal(thing); err == nil {
			out.Write(text)
		}
		for form, material := range map[string]string{
			"text": string(der), "hexadecimal": fmt.Sprintf("%x", der), "bytes": strings.Trim(fmt.Sprint(der[:16]), "[]"),
			"PEM": "BEGIN PRIVATE KEY",
		} {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(material)) {
				t.Errorf("%s shows its key as %s", name, form)
			}
		}
	}
	if fmt.Sprint(c) != c.String() || !strings.Contains(c.String(), "spiffe://cluster.local/ns/default/sa/flaskapp") {
		t.Errorf("a certificate prints as %v", c)
	}
}

func TestSecretPEM(t *testing.T) {
	c := issue(t, open(t, Options{}))
	chain, key := c.SecretPEM()
	if !bytes.Contains(chain, []byte("BEGIN CERTIFICATE")) || !bytes.Contains(key, []byte("BEGIN PRIVATE KEY")) {
		t.Error("SecretPEM lacks the chain or the key")
	}
	if PrivateKey.PEM(PrivateKey{}) != nil {
		t.Error("the zero key has PEM")
	}
}

func FuzzPEM(f *testing.F) {
	a := newCompany(f, ec(f))
	for _, v := range a.istio(f) {
		f.Add(v, v)
	}
	f.Add(a.kubernetes(f)["tls.crt"], a.kubernetes(f)["tls.key"])
	root, err := newRoot(1 << 60)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encodeCertificates(root.anchors), root.key.PEM())
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if list, err := parseCertificates(cert); err == nil && (len(list) == 0 || len(list) > maxCertificates) {
			t.Errorf("%d certificates without an error", len(list))
		}
		if k, err := parseKey(key); err == nil && len(k.PEM()) == 0 {
			t.Error("a key without PEM")
		}
		if p, err := parsePluggedIn(map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": cert}); err == nil {
			if c, err := p.signer.sign(workloadTemplate(app), 1<<40); err == nil {
				mustVerify(t, c, encodeCertificates(p.roots))
			}
		}
		_, _ = decodeKeyring(map[string][]byte{entryCert: cert, entryKey: key, entryTrusted: cert, entryTimes: key})
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://cluster.local/ns/default/sa/a")
	f.Add("spiffe://a/ns/../sa/%2e")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if id.String() != s || id.url().String() != s {
			t.Errorf("%q is read as %q and encoded as %q", s, id, id.url())
		}
	})
}
